//! The loop: starts a process for each client, says how it ended, and drains when asked to stop.

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
    admission::{Refusals, TELLING_MAX, has_room, may_wait},
    backend::{self, Client, Over},
    connections::Connections,
    drain::{Drain, Rung},
    fault::Fault,
    listen::Listener,
    log::Log,
    refuse::{refuse, refuse_at_once},
    settings::Settings,
};

/// Serves clients until a signal ends that. To be called in the runtime, on the process's first
/// thread: the processes' lives hang on it.
///
/// # Errors
/// It cannot begin; nobody was served.
pub(crate) async fn run(settings: Settings) -> Result<End, Fault> {
    lookup::check(&settings.program)
        .map_err(|fault| Fault::cannot_start(fault, &settings.program))?;
    let open_files = OpenFiles::raise().map_err(Fault::refused("read the limit of open files"))?;
    let (clients, told) = (settings.connections_max, TELLING_MAX as u64);
    // Besides, the client's socket until its program has it.
    open_files.suffice_for(clients, 1, told, "connections", "--max-connections")?;
    let requests = Requests::open().map_err(Fault::refused("listen to signals"))?;
    let log = Log::open().map_err(Fault::refused("start the thread that writes the log"))?;
    let listener = Listener::open(&settings.address).await?;
    log.say(&format!("listening on {}", listener.address()));
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

/// What a task leaves when it has ended.
enum Done {
    Connection(Box<Over>),
    Refusal,
}

impl Server {
    async fn until_stopped(mut self) -> End {
        loop {
            if let Some(signal) = self.drain.signal()
                && (self.tasks.is_empty() || self.drain.rung() == Rung::Abandoned)
            {
                self.take_leave().await;
                return End::By(signal);
            }
            let deadline = self.drain.deadline().map(|deadline| self.began + deadline);
            // Ends come before accepts: who leaves makes room.
            tokio::select! {
                biased;
                request = self.requests.next() => self.requested(request),
                () = sleep_until(deadline.unwrap_or(self.began)), if deadline.is_some() => {
                    let climbed = self.drain.tick(self.began.elapsed());
                    self.climbed(climbed);
                }
                Some(done) = self.tasks.join_next() => self.done(done),
                (socket, remote) = self.listener.accept(&self.log) => self.knock(socket, remote),
            }
        }
    }

    /// A client is there.
    fn knock(&mut self, socket: TcpStream, remote: SocketAddr) {
        self.accepted += 1;
        let local = socket.local_addr().unwrap_or(self.listener.address());
        let client = Client { number: self.accepted, remote, local };
        let max = self.settings.connections_max;
        if has_room(self.running.len(), max) {
            self.start(client, socket);
        } else {
            self.count_refusal(client);
            let reason = format!("All connections are in use ({max} at once): try again later.");
            self.tell(socket, reason);
        }
    }

    fn start(&mut self, client: Client, socket: TcpStream) {
        let socket = match backend::blocking(socket) {
            Ok(socket) => socket,
            Err(error) => {
                return self.log.say(&format!("{}: cut off: {error}", client.name(None)));
            }
        };
        match backend::start(&self.settings.program, self.open_files, client, &socket) {
            Ok(process) => {
                self.running.insert(client, &process);
                let oom = Rc::clone(&self.oom);
                self.tasks.spawn_local(async move {
                    Done::Connection(Box::new(backend::live(process, client, socket, oom).await))
                });
            }
            Err(fault) => {
                self.over(Over { client, pid: None, end: Err(fault), unserved: Some(socket) });
            }
        }
    }

    fn done(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Connection(over)) => {
                self.running.remove(over.client);
                self.listener.try_again();
                self.over(*over);
            }
            Ok(Done::Refusal) => {}
            // A fault of ours in a task is one of the server: its slot would never be free.
            Err(error) => {
                if let Ok(panic) = error.try_into_panic() {
                    panic::resume_unwind(panic);
                }
            }
        }
    }

    fn over(&mut self, over: Over) {
        if !(self.settings.quiet && over.is_well()) {
            self.log.say(&over.line(&self.settings.program, self.drain.asked()));
        }
        let unserved = over.unserved.map(backend::nonblocking);
        if let Some(Ok(socket)) = unserved {
            self.tell(socket, "The server cannot start a process for this client.".into());
        }
    }

    /// Parts from a client that is not served.
    fn tell(&mut self, socket: TcpStream, reason: String) {
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
        let Some(unsaid) = self.refusals.count(self.began.elapsed()) else { return };
        let more = if unsaid > 0 { format!(" ({unsaid} more before it)") } else { String::new() };
        self.log.say(&format!(
            "{}: refused{more}: all connections are in use; raise --max-connections ({})",
            client.name(None),
            self.settings.connections_max,
        ));
    }

    fn requested(&mut self, request: Request) {
        match request.stop_signal() {
            Some(signal) => {
                let climbed = self.drain.request(self.began.elapsed(), signal);
                self.climbed(climbed);
            }
            None => self.report(),
        }
    }

    /// Does what a rung of the drain demands.
    fn climbed(&mut self, rung: Option<Rung>) {
        let left = self.running.count();
        let nobody = self.running.len() == 0;
        match rung {
            Some(Rung::Finishing) => {
                self.listener.close();
                let signal = self.drain.signal().map_or(String::new(), |s| s.to_string());
                let grace = show_duration(self.settings.grace);
                self.log.say(&if nobody {
                    format!("{signal}: stopping")
                } else {
                    format!("{signal}: stopping; {left} may finish within {grace}")
                });
            }
            Some(Rung::Asked) if !nobody => {
                self.log.say(&format!("asking {left} to end"));
                self.running.ask();
            }
            Some(Rung::Killed) if !nobody => {
                self.log.say(&format!("killing {left}"));
                self.running.kill();
            }
            Some(Rung::Abandoned) => {
                self.log.say("killed, and yet held by the kernel:");
                self.report();
            }
            Some(Rung::Serving | Rung::Asked | Rung::Killed) | None => {}
        }
    }

    /// Says what is running.
    fn report(&self) {
        let max = self.settings.connections_max;
        self.log.say(&format!("running: {} of {max} connections", self.running.len()));
        self.running.lines().for_each(|line| self.log.say(&line));
    }

    async fn take_leave(&self) {
        let refused = self.refusals.total();
        if refused > 0 {
            self.log.say(&format!("refused: {refused} of {} clients", self.accepted));
        }
        self.log.flush().await;
    }
}
