//! The line to one worker that takes jobs: the pipe they go by, the pipe its replies come by, and
//! the flight recorder. Both pipes are always served, so a worker that writes much before it
//! reads holds up nobody but itself.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    io,
    os::fd::OwnedFd,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::BufMut;
use nix::fcntl::{FcntlArg, fcntl};
use protocol::{
    frame::FrameTooLong,
    recorder::Recorder,
    wire::{SupervisorHello, ToWorker, VERSION},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, Interest, ReadBuf, Ready},
    net::unix::pipe::{Receiver, Sender},
    task::AbortHandle,
};

use super::{
    doer::Doer,
    in_hand::InHand,
    incoming::{Heard, Incoming},
    outgoing::Outgoing,
};
use pool::{Order, event::WorkerId, exit::ProtocolFault};
use process::descriptors::{bytes_waiting, read_waiting};

/// What the pipes hold when large frames pass.
const LARGE_PIPE_BYTES: i32 = 1 << 20;
/// What one read takes.
const READ_BYTES: usize = 64 << 10;

/// Our side of it.
#[derive(Debug)]
pub(super) struct Line {
    /// `None` once the worker was told that there are no more jobs.
    jobs: RefCell<Option<Rc<Sender>>>,
    outgoing: RefCell<Outgoing>,
    /// The task that writes what the pipe had no room for, while there is something.
    writer: RefCell<Option<AbortHandle>>,
    /// The task that waits for the worker to close its end of that pipe.
    watch: RefCell<Option<AbortHandle>>,
    replies: RefCell<Receiver>,
    incoming: RefCell<Incoming>,
    recorder: Recorder,
    in_hand: RefCell<InHand>,
    pub(super) doer: Doer,
    /// Jobs that were sent so far.
    sent: Cell<u64>,
    frame_bytes_max: usize,
    /// Whether the pipes were made to hold more.
    is_large: Cell<bool>,
    scratch: Scratch,
}

/// What reads go to. One for all lines: an idle worker holds no memory of ours.
pub(super) type Scratch = Rc<RefCell<Vec<u8>>>;

/// A new one.
pub(super) fn scratch() -> Scratch {
    Rc::new(RefCell::new(vec![0; READ_BYTES]))
}

/// The worker's side of it.
#[derive(Debug)]
pub(super) struct FarEnd {
    pub(super) jobs: OwnedFd,
    pub(super) replies: OwnedFd,
    pub(super) recorder: OwnedFd,
}

impl Line {
    /// A line to this worker, on which our hello is on its way.
    ///
    /// # Errors
    /// No descriptors, or no memory.
    pub(super) fn open(
        worker: WorkerId,
        frame_bytes_max: usize,
        reports: bool,
        scratch: Scratch,
    ) -> io::Result<(Self, FarEnd)> {
        let (jobs_read, jobs_write) = io::pipe()?;
        let (replies_read, replies_write) = io::pipe()?;
        let (recorder, memory) = Recorder::create()?;
        let jobs = Sender::from_owned_fd(jobs_write.into())?;
        let replies = Receiver::from_owned_fd(replies_read.into())?;
        let hello = SupervisorHello {
            version: VERSION,
            codecs: vec!["bincode".into(), "json".into()],
            max_frame: frame_bytes_max as u64,
            worker: worker.to_string(),
        };
        let mut outgoing = Outgoing::default();
        outgoing.push_frame(&hello.to_frame());
        let line = Self {
            jobs: RefCell::new(Some(Rc::new(jobs))),
            outgoing: RefCell::new(outgoing),
            writer: RefCell::default(),
            watch: RefCell::default(),
            replies: RefCell::new(replies),
            incoming: RefCell::new(Incoming::new(frame_bytes_max, reports)),
            recorder,
            in_hand: RefCell::default(),
            doer: Doer::default(),
            sent: Cell::new(0),
            frame_bytes_max,
            is_large: Cell::new(false),
            scratch,
        };
        let far =
            FarEnd { jobs: jobs_read.into(), replies: replies_write.into(), recorder: memory };
        Ok((line, far))
    }

    /// Puts a job on its way; [`Line::write`] sends it off.
    ///
    /// # Errors
    /// No frame holds it in this worker's codec. It was not sent, and has no number among those
    /// that were.
    pub(super) fn send(&self, order: &Order) -> Result<(), FrameTooLong> {
        let Some(codec) = self.incoming.borrow().codec() else { return Ok(()) };
        self.outgoing.borrow_mut().push_job(codec, order, self.frame_bytes_max)?;
        self.sent.set(self.sent.get() + 1);
        self.in_hand.borrow_mut().sent(order.id);
        if order.payload.is_shared() {
            self.enlarge(&self.replies.borrow());
        }
        Ok(())
    }

    /// Puts a message on its way.
    pub(super) fn say(&self, message: &ToWorker<'_>) {
        if let Some(codec) = self.incoming.borrow().codec() {
            // None of these is long.
            let _ = self.outgoing.borrow_mut().push(codec, message, self.frame_bytes_max);
        }
    }

    /// Writes what the pipe takes now; the rest follows as it takes more.
    pub(super) fn write(self: &Rc<Self>) {
        if self.writer.borrow().is_some() || self.try_write() {
            return;
        }
        let line = Rc::clone(self);
        let task = tokio::task::spawn_local(async move {
            loop {
                let Some(jobs) = line.jobs.borrow().clone() else { break };
                // An error shows at the write.
                let _ = jobs.writable().await;
                if line.try_write() {
                    break;
                }
            }
            line.writer.take();
        });
        *self.writer.borrow_mut() = Some(task.abort_handle());
    }

    /// Says once that the worker has closed its end of the pipe of its jobs, or is gone.
    pub(super) fn watch(&self, closed: impl FnOnce() + 'static) {
        let Some(jobs) = self.jobs.borrow().clone() else { return };
        let task = tokio::task::spawn_local(async move {
            if jobs.ready(Interest::ERROR).await.is_ok_and(Ready::is_error) {
                closed();
            }
        });
        *self.watch.borrow_mut() = Some(task.abort_handle());
    }

    /// Closes the pipe of the jobs, with whatever is still to be written; the tasks that write
    /// and watch hold it open as well.
    fn close_jobs(&self) {
        self.jobs.take();
        self.outgoing.borrow_mut().clear();
        let tasks = [self.writer.take(), self.watch.take()];
        tasks.into_iter().flatten().for_each(|task| task.abort());
    }

    /// Whether nothing is left to be written.
    fn try_write(&self) -> bool {
        let jobs = self.jobs.borrow();
        let mut outgoing = self.outgoing.borrow_mut();
        let Some(jobs) = &*jobs else { return true };
        while !outgoing.is_empty() {
            let written = outgoing.with_slices(|slices| match slices {
                [one] => jobs.try_write(one),
                several => jobs.try_write_vectored(several),
            });
            match written {
                Ok(bytes) => outgoing.advance(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // It has closed its end, which the watch hears of. What it was not sent stays
                // where it is, and is told apart from what it was.
                Err(_) => return true,
            }
        }
        true
    }

    /// Tells it that there are no more jobs, and closes the pipe behind that.
    pub(super) fn dismiss(self: &Rc<Self>) {
        self.say(&ToWorker::Bye);
        // A pipe that has no room for so little is not being read: its end then says it.
        self.try_write();
        self.close_jobs();
    }

    /// Waits for what it says next; `None` at the end of the stream. Cancelled, it has lost
    /// nothing.
    pub(super) async fn hear(&self, heard: &mut Heard) -> Option<Result<(), ProtocolFault>> {
        poll_fn(|cx| self.poll_hear(cx, heard)).await
    }

    /// One read; `None` at the end of the stream.
    fn poll_hear(
        &self,
        cx: &mut Context<'_>,
        heard: &mut Heard,
    ) -> Poll<Option<Result<(), ProtocolFault>>> {
        let mut replies = self.replies.borrow_mut();
        let mut incoming = self.incoming.borrow_mut();
        if let Some((frame, missing)) = incoming.large() {
            self.enlarge(&replies);
            let mut rest = frame.limit(missing);
            let read = pin!(replies.read_buf(&mut rest)).poll(cx);
            return match ready!(read) {
                Ok(0) | Err(_) => Poll::Ready(None),
                Ok(bytes) => Poll::Ready(Some(incoming.large_grew(bytes, heard))),
            };
        }
        let mut scratch = self.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        match ready!(Pin::new(&mut *replies).poll_read(cx, &mut buffer)) {
            Ok(()) if !buffer.filled().is_empty() => {
                Poll::Ready(Some(incoming.take_from_pipe(buffer.filled(), heard)))
            }
            Ok(()) | Err(_) => Poll::Ready(None),
        }
    }

    /// Takes in what waits in the pipe. Past the runtime, which may not know yet that something
    /// does.
    fn drain(&self, heard: &mut Heard) -> Result<(), ProtocolFault> {
        let replies = self.replies.borrow();
        let mut scratch = self.scratch.borrow_mut();
        read_waiting(&*replies, &mut scratch, |bytes| {
            self.incoming.borrow_mut().take_from_pipe(bytes, heard)
        })
    }

    /// Takes in what it has answered: what is in the pipe, and what it has not yet written.
    fn catch_up(&self, heard: &mut Heard) -> Result<(), ProtocolFault> {
        self.drain(heard)?;
        let (mut tail, mut incoming) = (Vec::new(), self.incoming.borrow_mut());
        match self.recorder.tail(incoming.position(), &mut tail) {
            Some(()) => incoming.take_from_recorder(&tail, heard),
            // It has just written them: the pipe brings them.
            None => Ok(()),
        }
    }

    /// Lets it start nothing more, and takes in what it has answered. Which job it started last;
    /// `None` while it has not come past the recall before.
    ///
    /// # Errors
    /// What it said is not the protocol.
    pub(super) fn recall(&self, heard: &mut Heard) -> Result<Option<u64>, ProtocolFault> {
        let Some(started) = self.recorder.retract() else { return Ok(None) };
        self.catch_up(heard)?;
        self.in_hand.borrow_mut().recalled(started);
        Ok(Some(started))
    }

    /// It is dead: takes in all that it had still to say. Which job it started last, by its
    /// record; without one, of which it had read anything.
    ///
    /// # Errors
    /// What it said is not the protocol.
    pub(super) fn finish(&self, heard: &mut Heard) -> (Option<u64>, Result<(), ProtocolFault>) {
        let read = self.last_read();
        self.close_jobs();
        if self.incoming.borrow().abilities().recorder {
            let said = self.catch_up(heard);
            (Some(self.running()), said)
        } else {
            (read, self.drain(heard))
        }
    }

    /// The how-many-th job sent to it is the last of which it has read anything.
    fn last_read(&self) -> Option<u64> {
        let waiting = bytes_waiting(self.jobs.borrow().as_ref()?);
        let is_unread = self.outgoing.borrow().is_job_unread(waiting);
        Some(self.sent.get().saturating_sub(u64::from(is_unread)))
    }

    /// So many jobs were answered.
    pub(super) fn answered(&self, count: usize) {
        self.in_hand.borrow_mut().answered(count);
    }

    /// The how-many-th job sent to it runs, or was run last.
    pub(super) fn running(&self) -> u64 {
        self.recorder.running().0
    }

    /// The number of the job that output is about which came while `since` was running, and has
    /// been read by now; `None` where another has begun meanwhile, so that it is not sure.
    pub(super) fn speaking_job(&self, since: u64) -> Option<u64> {
        let is_sure = self.in_hand.borrow().is_alone(since) || since == self.running();
        self.current_job().filter(|_| is_sure)
    }

    /// Whether jobs wait behind the one it runs.
    pub(super) fn has_waiting(&self) -> bool {
        self.in_hand.borrow().count() > 1
    }

    /// The number of the job it runs, or would run next.
    pub(super) fn current_job(&self) -> Option<u64> {
        self.in_hand.borrow().current(self.running())
    }

    /// Large frames pass faster where the pipes hold more. Once, and only where they do pass:
    /// the memory of pipes is counted against the user.
    fn enlarge(&self, replies: &Receiver) {
        if self.is_large.replace(true) {
            return;
        }
        let _ = fcntl(replies, FcntlArg::F_SETPIPE_SZ(LARGE_PIPE_BYTES));
        if let Some(jobs) = &*self.jobs.borrow() {
            let _ = fcntl(&**jobs, FcntlArg::F_SETPIPE_SZ(LARGE_PIPE_BYTES));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use tokio::{runtime::LocalOptions, task::yield_now};

    use super::*;

    #[test]
    fn a_worker_that_is_dismissed_before_it_has_read_all_comes_to_the_end_of_its_jobs() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build_local(LocalOptions::default()).unwrap();
        let seen = runtime.block_on(async {
            let worker = WorkerId { slot: 1, life: 1 };
            let (line, far) = Line::open(worker, 1 << 20, false, scratch()).unwrap();
            let line = Rc::new(line);
            line.outgoing.borrow_mut().push_frame(&[b'x'; 1 << 20]);
            line.write();
            let room = fcntl(&far.jobs, FcntlArg::F_GETPIPE_SZ).unwrap().cast_unsigned() as usize;
            while bytes_waiting(&far.jobs) < room {
                yield_now().await;
            }
            line.dismiss();
            yield_now().await;
            let mut watched = [PollFd::new(far.jobs.as_fd(), PollFlags::POLLIN)];
            poll(&mut watched, PollTimeout::ZERO).unwrap();
            watched[0].revents().unwrap()
        });
        assert!(seen.contains(PollFlags::POLLHUP), "{seen:?}");
    }
}
