//! The loop of the server: it starts a process for each client, logs how each one ended, and shuts
//! down when it is asked to stop.

use std::{net::SocketAddr, panic, rc::Rc};

use process::{
    descriptors::OpenFiles,
    proc::OomWatch,
    signals::{Request, Requests},
    spawn::lookup,
};
use text::units::show_duration;
use tokio::{
    net::TcpStream,
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};

use crate::{
    End,
    admission::{REFUSING_MAX, Refusals, has_room, may_wait},
    backend::{self, Client, Finished, ProcessEnd},
    connections::Connections,
    drain::{Drain, Stage},
    fault::Fault,
    listen::Listener,
    log::Log,
    refuse::{refuse, refuse_at_once},
    settings::Settings,
};

/// Serves clients until a signal stops the server. Must be called in the runtime, on the first
/// thread of this process: the kernel kills the clients' processes when that thread ends.
///
/// # Errors
/// The server cannot start; no client was served.
pub(crate) async fn run(settings: Settings) -> Result<End, Fault> {
    lookup::check(&settings.program)
        .map_err(|fault| Fault::cannot_start(fault, &settings.program))?;
    let open_files = OpenFiles::raise().map_err(Fault::refused("read the limit of open files"))?;
    let (clients, refused) = (settings.connections_max, REFUSING_MAX as u64);
    // Each process needs one more file: the socket of the client, until the program has it.
    open_files.suffice_for(clients, 1, refused, "connections", "--max-connections")?;
    let requests = Requests::open().map_err(Fault::refused("listen to signals"))?;
    let log = Log::open().map_err(Fault::refused("start the thread that writes the log"))?;
    let listener = Listener::open(&settings.address).await?;
    log.line(&format!("listening on {}", listener.address()));
    let server = Server {
        began: Instant::now(),
        drain: Drain::new(settings.grace),
        settings,
        open_files,
        oom: Rc::default(),
        requests,
        log,
        listener,
        running: Connections::default(),
        tasks: JoinSet::new(),
        refusals: Refusals::default(),
        accepted: 0,
    };
    Ok(server.until_stopped().await)
}

struct Server {
    began: Instant,
    settings: Settings,
    open_files: OpenFiles,
    oom: Rc<OomWatch>,
    requests: Requests,
    log: Log,
    listener: Listener,
    running: Connections,
    tasks: JoinSet<Done>,
    refusals: Refusals,
    accepted: u64,
    drain: Drain,
}

/// The result of a task.
enum Done {
    Connection(Box<Finished>),
    Refusal,
}

impl Server {
    async fn until_stopped(mut self) -> End {
        loop {
            if let Some(signal) = self.drain.signal()
                && (self.tasks.is_empty() || self.drain.stage() == Some(Stage::Abandoned))
            {
                self.finish_log().await;
                return End::By(signal);
            }
            let deadline = self.drain.deadline().map(|deadline| self.began + deadline);
            // Ends are handled before accepts, because they make room.
            tokio::select! {
                biased;
                request = self.requests.next() => self.requested(request),
                () = sleep_until(deadline.unwrap_or(self.began)), if deadline.is_some() => {
                    let stage = self.drain.tick(self.began.elapsed());
                    self.begin_stage(stage);
                }
                Some(done) = self.tasks.join_next() => self.done(done),
                (socket, remote) = self.listener.accept(&self.log) => self.admit(socket, remote),
            }
        }
    }

    /// Serves a new client, or refuses it.
    fn admit(&mut self, socket: TcpStream, remote: SocketAddr) {
        self.accepted += 1;
        let local = socket.local_addr().unwrap_or(self.listener.address());
        let client = Client { number: self.accepted, remote, local };
        let max = self.settings.connections_max;
        if has_room(self.running.len(), max) {
            self.start(client, socket);
        } else {
            self.count_refusal(client);
            let reason = format!("All connections are in use ({max} at once): try again later.");
            self.refuse(socket, reason);
        }
    }

    fn start(&mut self, client: Client, socket: TcpStream) {
        let socket = match backend::blocking(socket) {
            Ok(socket) => socket,
            Err(error) => {
                return self.log.line(&format!("{}: cut off: {error}", client.name(None)));
            }
        };
        match backend::start(&self.settings.program, self.open_files, client, &socket) {
            Ok(process) => {
                self.running.insert(client, &process);
                let oom = Rc::clone(&self.oom);
                self.tasks.spawn_local(async move {
                    Done::Connection(Box::new(
                        backend::supervise(process, client, socket, oom).await,
                    ))
                });
            }
            Err(fault) => {
                let end = ProcessEnd::NeverStarted(fault, socket);
                self.finished(Finished { client, pid: None, end });
            }
        }
    }

    fn done(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Connection(finished)) => {
                self.running.remove(finished.client);
                self.listener.try_again();
                self.finished(*finished);
            }
            Ok(Done::Refusal) => {}
            // A panic in a task ends the server: otherwise its connection would count for ever.
            Err(error) => {
                if let Ok(panic) = error.try_into_panic() {
                    panic::resume_unwind(panic);
                }
            }
        }
    }

    fn finished(&mut self, finished: Finished) {
        if !(self.settings.quiet && finished.is_success()) {
            self.log.line(&finished.line(&self.settings.program, self.drain.asked()));
        }
        if let ProcessEnd::NeverStarted(_, socket) = finished.end
            && let Ok(socket) = backend::nonblocking(socket)
        {
            self.refuse(socket, "The server cannot start a process for this client.".into());
        }
    }

    /// Refuses a client, and gives it the reason where clients speak HTTP.
    fn refuse(&mut self, socket: TcpStream, reason: String) {
        let reason = self.settings.speaks_http().then_some(reason);
        if !may_wait(self.tasks.len() - self.running.len()) {
            return refuse_at_once(socket, reason.as_deref());
        }
        self.tasks.spawn_local(async move {
            refuse(socket, reason).await;
            Done::Refusal
        });
    }

    fn count_refusal(&mut self, client: Client) {
        let Some(unlogged) = self.refusals.count(self.began.elapsed()) else { return };
        let more = match unlogged {
            0 => String::new(),
            _ => format!(" ({unlogged} more before it)"),
        };
        self.log.line(&format!(
            "{}: refused{more}: all connections are in use; raise --max-connections ({})",
            client.name(None),
            self.settings.connections_max,
        ));
    }

    fn requested(&mut self, request: Request) {
        match request.stop_signal() {
            Some(signal) => {
                let stage = self.drain.request(self.began.elapsed(), signal);
                self.begin_stage(stage);
            }
            None => self.report(),
        }
    }

    /// Does what a stage of the shutdown begins with.
    fn begin_stage(&mut self, stage: Option<Stage>) {
        let left = self.running.count();
        let is_idle = self.running.len() == 0;
        match stage {
            Some(Stage::Finishing) => {
                self.listener.close();
                let signal = self.drain.signal().map_or(String::new(), |s| s.to_string());
                let grace = show_duration(self.settings.grace);
                self.log.line(&if is_idle {
                    format!("{signal}: stopping")
                } else {
                    format!("{signal}: stopping; {left} may finish within {grace}")
                });
            }
            Some(Stage::Asked) if !is_idle => {
                self.log.line(&format!("asking {left} to end"));
                self.running.ask();
            }
            Some(Stage::Killed) if !is_idle => {
                self.log.line(&format!("killing {left}"));
                self.running.kill();
            }
            Some(Stage::Abandoned) => {
                self.log.line("killed, but stuck in the kernel:");
                self.report();
            }
            Some(Stage::Asked | Stage::Killed) | None => {}
        }
    }

    /// Logs what is running.
    fn report(&self) {
        let max = self.settings.connections_max;
        self.log.line(&format!("running: {} of {max} connections", self.running.len()));
        self.running.lines().for_each(|line| self.log.line(&line));
    }

    /// Logs the total of refusals, and waits until the log is written.
    async fn finish_log(&self) {
        let refused = self.refusals.total();
        if refused > 0 {
            self.log.line(&format!("refused: {refused} of {} clients", self.accepted));
        }
        self.log.flush().await;
    }
}
