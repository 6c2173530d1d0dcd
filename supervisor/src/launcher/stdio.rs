//! Where do a command's standard streams come from? `/dev/null` or the job's bytes on the one
//! side; pipes on the other, which are the same from command to command while nobody is left who
//! could still hold them.

use std::{
    fs::File,
    io::{self, PipeReader, PipeWriter, Seek, Write},
    os::fd::{AsRawFd, RawFd},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};

/// What commands read from.
#[derive(Debug)]
pub(super) struct Stdio {
    null: File,
    /// The bytes of the job in hand.
    input: Option<File>,
}

impl Stdio {
    pub(super) fn open() -> io::Result<Self> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        Ok(Self { null, input: None })
    }

    /// What the next command reads: these bytes, or nothing. In memory and not by a pipe, so that
    /// a command that reads none of it keeps nobody waiting.
    pub(super) fn set_input(&mut self, bytes: Option<&[u8]>) -> io::Result<()> {
        self.input = None;
        if let Some(bytes) = bytes {
            let mut file = File::from(memfd_create(c"stdin", MFdFlags::MFD_CLOEXEC)?);
            file.write_all(bytes)?;
            file.rewind()?;
            self.input = Some(file);
        }
        Ok(())
    }

    pub(super) fn input(&self) -> RawFd {
        self.input.as_ref().unwrap_or(&self.null).as_raw_fd()
    }
}

/// A pipe for a command's output: we do not wait at our end of it.
#[derive(Debug)]
pub(super) struct Pipe {
    read: PipeReader,
    /// Ours too, so that it can be given to the next command.
    write: Option<PipeWriter>,
}

impl Pipe {
    pub(super) fn open() -> io::Result<Self> {
        let (read, write) = io::pipe()?;
        fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self { read, write: Some(write) })
    }

    pub(super) fn far_end(&self) -> Option<RawFd> {
        self.write.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// From now on its end shows when nobody else holds it; it serves no other command.
    pub(super) fn close_far_end(&mut self) {
        self.write = None;
    }

    pub(super) fn reader(&self) -> &PipeReader {
        &self.read
    }
}
