//! `vile MODE`: a worker that breaks the rules of the protocol.
//!
//! | mode | what it does |
//! |---|---|
//! | `garbage`, `hostile-length`, `wrong-id`, `twice` | sends an invalid reply to every job |
//! | `raw` | speaks JSON, and answers each job with the messages that its payload holds, separated by tabs; `%ID%` and `%ATTEMPT%` stand for the job's |
//! | `again` | answers each job with the reply of the job before |
//! | `version` | sends a hello of another version |
//! | `mute` | never sends a hello |
//! | `deaf` | sends its hello and never reads a job |
//! | `hang-up` | closes its pipes after its hello and lives on |
//! | `deafens` | answers its first job, closes the pipe of jobs and lives on |
//! | `flood` | sends 10 MB of valid frames before it reads its first job |
//! | `leaves-flood [END]` | dies at its first job and leaves a child that keeps sending frames |
//! | `unclaimed [END]` | has a recorder, never notes a job in it, and dies of the job `poison` |
//! | `chatter` | prints all the time and works correctly |
//! | `lingers` | does its jobs and lives on after the last one |
//! | `answers-one [END]` | answers its first job, and dies when there is another to read |
//! | `half N [END]` | dies after N bytes of its first reply |
//! | `before-read [END]`, `mid-frame [END]` (of a job), `before-reply [END]`, `mid-reply [END]`, `after-reply [END]` | dies at that point |
//!
//! END is the name of a signal, such as `SIGSEGV`, or an exit code; the default is SIGKILL.
//!
//! Most modes use the pipes directly and no recorder. `hang-up`, `chatter` and the last row, apart
//! from `mid-reply`, use the library.

use std::{
    env,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    process,
};

use worker::{
    Worker, frame,
    wire::{Codec, RECORDER, ToSupervisor, ToWorker, VARIABLE, VERSION, WorkerHello},
};

mod death;

type Fault = Box<dyn std::error::Error>;

const FLOOD_BYTES: usize = 10_000_000;

fn main() -> Result<(), Fault> {
    let args: Vec<String> = env::args().skip(1).collect();
    let arg = |at: usize| args.get(at).map(String::as_str);
    match arg(0).unwrap_or("") {
        "mute" => death::wait_for_ever(),
        "deaf" => {
            Wire::open()?.hello(VERSION)?;
            death::wait_for_ever()
        }
        "hang-up" => {
            drop(Worker::connect()?);
            death::wait_for_ever()
        }
        "deafens" => deafens(),
        "version" => Wire::open()?.hello(99),
        "garbage" => Wire::open()?.answer_with(b"\x10\0\0\0no such message!"),
        "hostile-length" => Wire::open()?.answer_with(&[0xff; 4]),
        "wrong-id" => Wire::open()?.serve(|id, reply| reply(id + 1_000_000)),
        "twice" => Wire::open()?.serve(|id, reply| [reply(id), reply(id)].concat()),
        "again" => Wire::open()?.serve(|id, reply| reply(id.saturating_sub(1).max(1))),
        "raw" => raw(),
        "flood" => flood(),
        "leaves-flood" => leaves_flood(arg(1)),
        "floods-on" => floods_on(),
        "half" => half(arg(1).unwrap_or("0").parse()?, arg(2)),
        "answers-one" => answers_one(arg(1)),
        "mid-reply" => half(20, arg(1)),
        "lingers" => {
            worker::serve(|job| Ok::<_, io::Error>(job.into_bytes()))?;
            death::wait_for_ever()
        }
        "unclaimed" => unclaimed(arg(1)),
        "chatter" => chatter(),
        "before-read" => {
            Worker::connect()?;
            death::by(arg(1))
        }
        "mid-frame" => {
            let _worker = Worker::connect()?;
            Wire::open()?.jobs.read_exact(&mut [0; 10])?;
            death::by(arg(1))
        }
        "before-reply" => {
            let mut worker = Worker::connect()?;
            worker.next_job()?;
            death::by(arg(1))
        }
        "after-reply" => {
            let mut worker = Worker::connect()?;
            let payload = worker.next_job()?.map(worker::Job::into_bytes).unwrap_or_default();
            worker.reply(Ok(&payload))?;
            death::by(arg(1))
        }
        other => Err(format!("no such mode: `{other}`").into()),
    }
}

/// Both pipes, used without the library.
struct Wire {
    jobs: File,
    replies: File,
    unread: Vec<u8>,
}

impl Wire {
    fn open() -> Result<Self, Fault> {
        let variable = env::var(VARIABLE)?;
        let numbers: Vec<_> = variable.split(':').collect();
        let [_, jobs, replies, _] = numbers[..] else { return Err(variable.into()) };
        let path = |number| format!("/proc/self/fd/{number}");
        Ok(Self {
            jobs: File::open(path(jobs))?,
            replies: OpenOptions::new().write(true).open(path(replies))?,
            unread: Vec::new(),
        })
    }

    fn hello(&mut self, version: u32) -> Result<(), Fault> {
        self.hello_in(Codec::Bincode, version)
    }

    fn hello_in(&mut self, codec: Codec, version: u32) -> Result<(), Fault> {
        self.hello_with(codec, version, &[])
    }

    fn hello_with(
        &mut self,
        codec: Codec,
        version: u32,
        capabilities: &[&'static str],
    ) -> Result<(), Fault> {
        let pid = process::id();
        let capabilities = capabilities.iter().map(|name| (*name).into()).collect();
        let hello = WorkerHello { version, codec, pid, capabilities };
        Ok(self.replies.write_all(&hello.to_frame())?)
    }

    /// Reads the next frame; `None` at the end of the pipe.
    fn frame(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        loop {
            if let Some((body, rest)) = frame::split(&self.unread, usize::MAX)? {
                let body = body.to_vec();
                self.unread = rest.to_vec();
                return Ok(Some(body));
            }
            let mut chunk = [0; 4096];
            let read = self.jobs.read(&mut chunk)?;
            if read == 0 {
                return Ok(None);
            }
            self.unread.extend_from_slice(&chunk[..read]);
        }
    }

    /// Sends a hello, then sends the bytes that `answer` returns for each job. `answer` gets the
    /// job's id and a function that makes the reply for any id.
    fn serve(
        mut self,
        mut answer: impl FnMut(u64, &dyn Fn(u64) -> Vec<u8>) -> Vec<u8>,
    ) -> Result<(), Fault> {
        self.frame()?;
        self.hello(VERSION)?;
        while let Some(body) = self.frame()? {
            if let ToWorker::Job { id, attempt, payload } = Codec::Bincode.read_to_worker(&body)? {
                let reply = |id| {
                    let result = Ok(payload.clone());
                    framed(&ToSupervisor::Reply { id, attempt, service_ns: 0, result })
                };
                self.replies.write_all(&answer(id, &reply))?;
            }
        }
        Ok(())
    }

    /// Answers the job in this frame with its payload.
    fn answer(&mut self, body: &[u8]) -> Result<(), Fault> {
        if let ToWorker::Job { id, attempt, payload } = Codec::Bincode.read_to_worker(body)? {
            let reply = ToSupervisor::Reply { id, attempt, service_ns: 0, result: Ok(payload) };
            self.replies.write_all(&framed(&reply))?;
        }
        Ok(())
    }

    /// Answers every job with these bytes.
    fn answer_with(self, bytes: &[u8]) -> Result<(), Fault> {
        self.serve(|_, _| bytes.to_vec())
    }
}

fn framed(message: &ToSupervisor<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    // This cannot fail: no frame exceeds this cap.
    let _ = frame::append(&mut out, usize::MAX, |out| {
        Codec::Bincode.write_to_supervisor(message, out);
    });
    out
}

fn raw() -> Result<(), Fault> {
    let mut wire = Wire::open()?;
    wire.frame()?;
    wire.hello_in(Codec::Json, VERSION)?;
    while let Some(body) = wire.frame()? {
        if let ToWorker::Job { id, attempt, payload } = Codec::Json.read_to_worker(&body)? {
            let payload = String::from_utf8(payload.into_owned())?;
            let filled = payload.replace("%ID%", &id.to_string());
            for message in filled.replace("%ATTEMPT%", &attempt.to_string()).split('\t') {
                let mut bytes = Vec::new();
                let write = |out: &mut Vec<u8>| out.extend_from_slice(message.as_bytes());
                frame::append(&mut bytes, usize::MAX, write)?;
                wire.replies.write_all(&bytes)?;
            }
        }
    }
    Ok(())
}

fn flood() -> Result<(), Fault> {
    let mut wire = Wire::open()?;
    wire.hello(VERSION)?;
    let output = ToSupervisor::Output { id: 1, stream: 1, bytes: vec![b'~'; 4000].into() };
    let progress = ToSupervisor::Progress { id: 1, fraction: 0.5, note: "half".into() };
    let both = [framed(&output), framed(&progress)].concat();
    for _ in 0..FLOOD_BYTES.div_ceil(both.len()) {
        wire.replies.write_all(&both)?;
    }
    // Skip the supervisor's hello.
    wire.frame()?;
    while let Some(body) = wire.frame()? {
        wire.answer(&body)?;
    }
    Ok(())
}

/// Answers the first job, closes the pipe of jobs even if it holds another job, and lives on.
fn deafens() -> Result<(), Fault> {
    let mut wire = Wire::open()?;
    wire.frame()?;
    wire.hello(VERSION)?;
    let Some(body) = wire.frame()? else { return Ok(()) };
    wire.answer(&body)?;
    let mut shell = process::Command::new("sh");
    Err(shell.args(["-c", "exec 3<&-; exec sleep 1000"]).exec().into())
}

/// Dies at the first job, and leaves a child that writes to the pipe of replies forever.
fn leaves_flood(how: Option<&str>) -> Result<(), Fault> {
    let mut wire = Wire::open()?;
    wire.frame()?;
    wire.hello(VERSION)?;
    let mut child = process::Command::new(env::current_exe()?);
    let child = child.arg("floods-on").stdout(process::Stdio::piped()).spawn()?;
    // Wait until the child has started to write.
    child.stdout.ok_or("no stdout")?.read_exact(&mut [0])?;
    wire.frame()?;
    death::by(how)
}

fn floods_on() -> Result<(), Fault> {
    let progress = ToSupervisor::Progress { id: 1, fraction: 0.5, note: "".into() };
    let many = framed(&progress).repeat(4000);
    let mut wire = Wire::open()?;
    wire.replies.write_all(&many)?;
    io::stdout().write_all(b"!")?;
    io::stdout().flush()?;
    loop {
        wire.replies.write_all(&many)?;
    }
}

/// Sends the first bytes of the first reply, then dies.
fn half(bytes: usize, how: Option<&str>) -> Result<(), Fault> {
    let mut wire = Wire::open()?;
    wire.frame()?;
    wire.hello(VERSION)?;
    let Some(body) = wire.frame()? else { return Ok(()) };
    let ToWorker::Job { id, attempt, payload } = Codec::Bincode.read_to_worker(&body)? else {
        return Ok(());
    };
    let reply = ToSupervisor::Reply { id, attempt, service_ns: 0, result: Ok(payload) };
    let frame = framed(&reply);
    wire.replies.write_all(&frame[..bytes.min(frame.len())])?;
    death::by(how)
}

/// Answers the first job, and dies when there is another to read.
fn answers_one(how: Option<&str>) -> Result<(), Fault> {
    let mut wire = Wire::open()?;
    wire.frame()?;
    wire.hello(VERSION)?;
    let Some(body) = wire.frame()? else { return Ok(()) };
    wire.answer(&body)?;
    death::once_readable(&wire.jobs, how)
}

/// Announces a recorder and never notes a job in it. Dies of the job `poison`.
fn unclaimed(how: Option<&str>) -> Result<(), Fault> {
    let mut wire = Wire::open()?;
    wire.frame()?;
    wire.hello_with(Codec::Bincode, VERSION, &[RECORDER])?;
    while let Some(body) = wire.frame()? {
        if let ToWorker::Job { payload, .. } = Codec::Bincode.read_to_worker(&body)?
            && *payload == *b"poison"
        {
            death::by(how)
        }
        wire.answer(&body)?;
    }
    Ok(())
}

fn chatter() -> Result<(), Fault> {
    println!("good morning");
    worker::serve(|job| {
        println!("about to do {}", job.id);
        let mut payload = job.into_bytes();
        io::stdout().write_all(b"\x03\0\0\0not a frame\n")?;
        payload.reverse();
        payload.reverse();
        Ok::<_, io::Error>(payload)
    })?;
    println!("good night");
    Ok(())
}
