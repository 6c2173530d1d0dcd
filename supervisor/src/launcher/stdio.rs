//! The standard streams of a command. Its stdin is `/dev/null` or a file with the payload of the
//! job; its output goes to pipes, which are reused from command to command as long as no process is
//! left that could still hold them.

use std::{
    fs::File,
    io::{self, PipeReader, PipeWriter, Seek, Write},
    os::fd::{AsFd, BorrowedFd},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};

use process::descriptors::output_pipe;

/// The standard input of the next command.
#[derive(Debug)]
pub(super) struct Stdin {
    null: File,
    /// The payload of the job, where commands read it.
    payload: Option<File>,
}

impl Stdin {
    pub(super) fn open() -> io::Result<Self> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        Ok(Self { null, payload: None })
    }

    /// Sets what the next command reads; `None` stands for `/dev/null`. The payload is kept in a
    /// file in memory and not in a pipe, so that the launcher never waits for a command that does
    /// not read it.
    pub(super) fn set(&mut self, payload: Option<&[u8]>) -> io::Result<()> {
        self.payload = None;
        if let Some(bytes) = payload {
            let mut file = File::from(memfd_create(c"stdin", MFdFlags::MFD_CLOEXEC)?);
            file.write_all(bytes)?;
            file.rewind()?;
            self.payload = Some(file);
        }
        Ok(())
    }
}

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.payload.as_ref().unwrap_or(&self.null).as_fd()
    }
}

/// A pipe for one output stream of a command. Reads from it do not block.
#[derive(Debug)]
pub(super) struct Pipe {
    read: PipeReader,
    /// Kept open, so that the next command can have it.
    write: Option<PipeWriter>,
}

impl Pipe {
    pub(super) fn open() -> io::Result<Self> {
        let (read, write) = output_pipe()?;
        fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self { read, write: Some(write) })
    }

    pub(super) fn write_end(&self) -> Option<BorrowedFd<'_>> {
        self.write.as_ref().map(AsFd::as_fd)
    }

    /// Closes the launcher's write end, so that the pipe ends when no other process holds it. The
    /// pipe serves no other command after that.
    pub(super) fn close_write_end(&mut self) {
        self.write = None;
    }

    pub(super) fn reader(&self) -> &PipeReader {
        &self.read
    }
}
