//! The loop of the server: it starts a process for each client, logs how each one ended, and shuts
//! down when it is asked to stop.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    net::SocketAddr,
    panic,
    rc::Rc,
};

use pool::signal::Signal;
use process::{
    descriptors::OpenFiles,
    proc::OomWatch,
    signals::{Request, Requests},
    spawn::lookup,
    tree::{Orphans, suspend_all},
    warden::Ward,
};
use text::{escape::visible, units::show_duration};
use tokio::{
    net::TcpStream,
    task::{JoinError, JoinSet, spawn_local, yield_now},
    time::{Instant, sleep_until},
};

use crate::{
    End,
    admission::{REFUSING_MAX, Refusal, Refusals, may_wait},
    backend::{self, Backends, Client, Finished, ProcessEnd},
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
pub(crate) async fn run(settings: Settings, ward: Ward) -> Result<End, Fault> {
    lookup::check(&settings.program)
        .map_err(|fault| Fault::cannot_start(fault, &settings.program))?;
    let open_files = OpenFiles::raise().map_err(Fault::refused("read the limit of open files"))?;
    let (clients, refused) = (settings.places.total, REFUSING_MAX as u64);
    // Each process needs one more file: the socket of the client, until the program has it.
    open_files.suffice_for(clients, 1, refused, "connections", "--max-connections")?;
    let requests =
        Requests::from_pipe(ward.signal_pipe).map_err(Fault::refused("listen to signals"))?;
    let orphans = RandomState::new().build_hasher().finish();
    let orphans =
        Orphans::new(ward.sigchld, orphans).map_err(Fault::refused("watch child processes"))?;
    let orphans = Rc::new(orphans);
    spawn_local(Rc::clone(&orphans).reap_all());
    let log = Log::open().map_err(Fault::refused("start the thread that writes the log"))?;
    let listener = Listener::open(&settings.address).await?;
    log.line(&format!("listening on {}", listener.address()));
    let backends = Rc::new(Backends {
        program: settings.program.clone(),
        open_files,
        timeout: settings.timeout,
        orphans,
        oom: OomWatch::default(),
        log: log.clone(),
    });
    let server = Server {
        began: Instant::now(),
        drain: Drain::new(settings.grace),
        settings,
        backends,
        requests,
        log,
        listener,
        arrived: None,
        running: Connections::default(),
        tasks: JoinSet::new(),
        refusals: Refusals::default(),
        accepted: 0,
    };
    Ok(server.until_stopped().await)
}

struct Server {
    /// The time at which the server started, moved forward by every time for which it was
    /// suspended.
    began: Instant,
    settings: Settings,
    backends: Rc<Backends>,
    requests: Requests,
    log: Log,
    listener: Listener,
    /// The client that was accepted last, until it is served or refused.
    arrived: Option<(Client, TcpStream)>,
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
                self.finish().await;
                return End::By(signal);
            }
            let deadline = self.drain.deadline().map(|deadline| self.began + deadline);
            let is_ready = self.arrived.is_none();
            // Ends are handled before accepts, because they make room.
            tokio::select! {
                biased;
                request = self.requests.next() => self.requested(request),
                () = sleep_until(deadline.unwrap_or(self.began)), if deadline.is_some() => {
                    let stage = self.drain.tick(self.began.elapsed());
                    self.begin_stage(stage);
                }
                Some(done) = self.tasks.join_next() => self.done(done),
                (socket, remote) = self.listener.accept(&self.log), if is_ready => {
                    self.arrived(socket, remote);
                    // Without a turn of the runtime for each client, a crowd at the door would keep
                    // the server from seeing which processes have ended.
                    yield_now().await;
                }
            }
            self.admit();
        }
    }

    fn arrived(&mut self, socket: TcpStream, remote: SocketAddr) {
        self.accepted += 1;
        let local = socket.local_addr().unwrap_or(self.listener.address());
        self.arrived = Some((Client { number: self.accepted, remote, local }, socket));
    }

    /// Serves or refuses the client that has arrived. It is refused only if processes that still run
    /// hold the places; the place of one that has ended is free in a moment, so the client waits.
    fn admit(&mut self) {
        let Some((client, socket)) = self.arrived.take() else { return };
        let of_origin = self.running.count_from(client.remote.ip());
        match self.settings.places.refusal(self.running.len(), of_origin) {
            None => self.start(client, socket),
            Some(_) if self.running.has_ended() => self.arrived = Some((client, socket)),
            Some(refusal) => {
                self.count_refusal(client, refusal);
                self.refuse(socket, refusal.for_client());
            }
        }
    }

    fn start(&mut self, client: Client, socket: TcpStream) {
        let socket = match backend::prepare(socket) {
            Ok(socket) => socket,
            Err(error) => {
                return self.log.line(&format!("{}: cut off: {error}", client.name(None)));
            }
        };
        match self.backends.start(client, &socket) {
            Ok(backend) => {
                self.running.insert(client, &backend.process);
                let backends = Rc::clone(&self.backends);
                self.tasks.spawn_local(async move {
                    Done::Connection(Box::new(backends.supervise(backend, socket).await))
                });
            }
            Err(fault) => {
                let end = ProcessEnd::NeverStarted(fault, socket);
                self.finished(Finished { client, pid: None, end, asked: None });
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

    fn count_refusal(&mut self, client: Client, refusal: Refusal) {
        let Some(unlogged) = self.refusals.count(self.began.elapsed()) else { return };
        let more = match unlogged {
            0 => String::new(),
            _ => format!(" ({unlogged} more before it)"),
        };
        let reason = refusal.for_log();
        self.log.line(&format!("{}: refused{more}: {reason}", client.name(None)));
    }

    fn requested(&mut self, request: Request) {
        match request {
            Request::Stop(signal) => self.stop(signal),
            Request::HangUp => self.stop(Signal::HUP),
            Request::Report => self.report(),
            Request::Suspend => suspend_all(|suspended| self.began += suspended),
            // The warden is dead, so nothing would clean up after this process.
            Request::Abandoned => {
                self.backends.orphans.kill_descendants();
                std::process::exit(128 + Signal::KILL.number());
            }
        }
    }

    fn stop(&mut self, signal: Signal) {
        let stage = self.drain.request(self.began.elapsed(), signal);
        self.begin_stage(stage);
    }

    /// Does what a stage of the shutdown begins with.
    fn begin_stage(&mut self, stage: Option<Stage>) {
        let left = self.running.count();
        let is_idle = self.running.len() == 0;
        match stage {
            Some(Stage::Finishing) => {
                self.listener.close();
                self.running.announce_stop();
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
        let max = self.settings.places.total;
        self.log.line(&format!("running: {} of {max} connections", self.running.len()));
        self.running.lines().for_each(|line| self.log.line(&line));
    }

    /// Kills what the connections have left behind and was not killed with them, logs that and the
    /// total of refusals, and waits until the log is written.
    async fn finish(&self) {
        let left = self.backends.orphans.kill_all().await;
        if !left.is_empty() {
            let names = visible(left.join(", ").as_bytes());
            self.log.line(&format!("orphans of unknown origin: {names}; killed"));
        }
        let refused = self.refusals.total();
        if refused > 0 {
            self.log.line(&format!("refused: {refused} of {} clients", self.accepted));
        }
        self.log.flush().await;
    }
}
