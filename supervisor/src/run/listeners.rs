//! Where observers connect: the control socket and the web server. They are bound before the first
//! worker starts and served by a thread of their own.

use std::{fmt::Write as _, io};

use super::{RunError, info::random_id};
use crate::{
    control::{self, DirectoryError},
    observers::{EventStream, Observers, Task},
    settings::{Serve, Settings},
};
use process::proc;
use records::RunInfo;

/// How many ids a run tries: each run that was killed leaves one in use.
const IDS_MAX: u32 = 16;

/// The listening sockets of a run, before any client is served.
pub(super) struct Listeners {
    web: Option<Listener>,
    /// The control socket, or why the run has none.
    control: Result<control::Server, DirectoryError>,
}

/// A web server that listens.
struct Listener {
    address: String,
    /// The most descriptors that it holds for clients.
    files: u64,
    task: Task,
}

impl Listeners {
    /// Binds the sockets. `info` gets another id where its own is in use.
    ///
    /// # Errors
    /// The web server cannot listen. A run without a control socket can go on.
    pub(super) fn open(settings: &Settings, info: &mut RunInfo) -> Result<Self, RunError> {
        let web = settings.serve.as_ref().map(open_web).transpose()?;
        let mut control = control::Server::open(info);
        for _ in 0..IDS_MAX {
            if !control.as_ref().is_err_and(DirectoryError::is_taken) {
                break;
            }
            info.id = random_id()?;
            control = control::Server::open(info);
        }
        Ok(Self { web, control })
    }

    /// The most descriptors that are held for clients.
    pub(super) fn files(&self) -> u64 {
        let control = self.control.as_ref().map_or(0, |_| control::Server::FILES);
        self.web.as_ref().map_or(0, |web| web.files) + control
    }

    /// Starts the observers' thread if anything listens. The text is for stderr.
    pub(super) fn serve(self) -> io::Result<(Option<(Observers, EventStream)>, String)> {
        let (mut tasks, mut text) = (Vec::new(), String::new());
        match self.control {
            Ok(control) => tasks.push(control.task()),
            // Without /proc no socket can be opened safely, and no worker starts either.
            Err(_) if !proc::is_mounted() => {}
            Err(error) => {
                let _ = writeln!(text, "supervisor: the run has no control socket: {error}");
            }
        }
        if let Some(web) = self.web {
            let _ = writeln!(text, "supervisor: serving at {}", web.address);
            tasks.push(web.task);
        }
        let observers = (!tasks.is_empty()).then(|| Observers::start(tasks)).transpose()?;
        Ok((observers, text))
    }
}

#[cfg(feature = "web")]
fn open_web(serve: &Serve) -> Result<Listener, RunError> {
    use crate::web;
    let server = web::Server::open(serve)?;
    Ok(Listener { address: server.address(), files: web::FILES, task: server.task() })
}

#[cfg(not(feature = "web"))]
fn open_web(serve: &Serve) -> Result<Listener, RunError> {
    Err(RunError::NoWeb(serve.endpoint.clone()))
}
