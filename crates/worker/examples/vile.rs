//! `vile MODE`: a worker that does what no worker should.
//!
//! `garbage` `hostile-length` `wrong-id` `twice`: an answer that is none, to the first job or to
//! each. `again`: each job is answered with the reply of the one before. `version`: of another version. `mute`: never says hello. `deaf`: says hello and never
//! reads. `hang-up`: closes its pipes after its hello and lives on. `flood`: 10 MB of valid frames
//! before it reads its first job. `chatter`: prints all the time and works properly. `half N
//! [END]`: ends behind N bytes of its first reply. `before-read [END]`, `mid-frame [END]` (of a
//! job), `before-reply [END]`, `mid-reply [END]`, `after-reply [END]`: ends there. END is a signal
//! such as `SIGSEGV`, or an exit code; SIGKILL if not given.
//!
//! It speaks the wire by hand and without a recorder, but for those of the last kind that are
//! not about half a reply.

use std::{
    env,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    process,
};

use worker::{
    Worker, frame,
    wire::{Codec, ToSupervisor, ToWorker, VARIABLE, VERSION, WorkerHello},
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
        "flood" => flood(),
        "leaves-flood" => leaves_flood(arg(1)),
        "floods-on" => floods_on(),
        "half" => half(arg(1).unwrap_or("0").parse()?, arg(2)),
        "answers-one" => answers_one(arg(1)),
        "mid-reply" => half(20, arg(1)),
        "chatter" => chatter(),
        "before-read" => {
            Worker::connect()?;
            death::as_told(arg(1))
        }
        "mid-frame" => {
            let _worker = Worker::connect()?;
            Wire::open()?.jobs.read_exact(&mut [0; 10])?;
            death::as_told(arg(1))
        }
        "before-reply" => {
            let mut worker = Worker::connect()?;
            worker.next_job()?;
            death::as_told(arg(1))
        }
        "after-reply" => {
            let mut worker = Worker::connect()?;
            let payload = worker.next_job()?.map(worker::Job::into_bytes).unwrap_or_default();
            worker.reply(Ok(&payload))?;
            death::as_told(arg(1))
        }
        other => Err(format!("no such mode: `{other}`").into()),
    }
}

/// Both pipes, by hand.
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
        let (codec, pid) = (Codec::Bincode, process::id());
        let hello = WorkerHello { version, codec, pid, capabilities: Vec::new() };
        Ok(self.replies.write_all(&hello.to_frame())?)
    }

    /// The next frame; `None` at the end.
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

    /// Says hello, then sends for each job what `answer` makes of its number and of what gives
    /// the reply under any number.
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

    /// Answers a job with its payload.
    fn answer(&mut self, body: &[u8]) -> Result<(), Fault> {
        if let ToWorker::Job { id, attempt, payload } = Codec::Bincode.read_to_worker(body)? {
            let reply = ToSupervisor::Reply { id, attempt, service_ns: 0, result: Ok(payload) };
            self.replies.write_all(&framed(&reply))?;
        }
        Ok(())
    }

    /// Answers each job with these bytes.
    fn answer_with(self, bytes: &[u8]) -> Result<(), Fault> {
        self.serve(|_, _| bytes.to_vec())
    }
}

fn framed(message: &ToSupervisor<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    // The cap is the largest there is, so no frame is over it.
    let _ = frame::append(&mut out, usize::MAX, |out| {
        Codec::Bincode.write_to_supervisor(message, out);
    });
    out
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
    // Its hello is out already: the supervisor's is the first frame that `serve` passes over.
    wire.frame()?;
    while let Some(body) = wire.frame()? {
        wire.answer(&body)?;
    }
    Ok(())
}

/// Answers its first job, closes the pipe of its jobs, whether there is another in it or not, and
/// lives on.
fn deafens() -> Result<(), Fault> {
    let mut wire = Wire::open()?;
    wire.frame()?;
    wire.hello(VERSION)?;
    let Some(body) = wire.frame()? else { return Ok(()) };
    wire.answer(&body)?;
    let mut shell = process::Command::new("sh");
    Err(shell.args(["-c", "exec 3<&-; exec sleep 1000"]).exec().into())
}

/// Dies at its first job, and leaves behind who writes on for ever in its name.
fn leaves_flood(how: Option<&str>) -> Result<(), Fault> {
    let mut wire = Wire::open()?;
    wire.frame()?;
    wire.hello(VERSION)?;
    let mut child = process::Command::new(env::current_exe()?);
    let child = child.arg("floods-on").stdout(process::Stdio::piped()).spawn()?;
    // It is at it.
    child.stdout.ok_or("no stdout")?.read_exact(&mut [0])?;
    wire.frame()?;
    death::as_told(how)
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

/// The first bytes of its first reply, and no more.
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
    death::as_told(how)
}

/// Answers its first job, and dies once there is another to be read.
fn answers_one(how: Option<&str>) -> Result<(), Fault> {
    let mut wire = Wire::open()?;
    wire.frame()?;
    wire.hello(VERSION)?;
    let Some(body) = wire.frame()? else { return Ok(()) };
    wire.answer(&body)?;
    death::once_readable(&wire.jobs, how)
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
