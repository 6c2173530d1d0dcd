//! Describes the machine on which the figures were measured.

use std::{fmt, thread};

use nix::sys::utsname::uname;
use process::proc::Fields;
use serde::Serialize;
use text::units::show_size;

/// The machine, as shown beside the figures.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Machine {
    /// Number of processors that this process may use.
    pub cpus: usize,
    /// Model of the processors, if the kernel reports it.
    pub model: Option<String>,
    /// Total memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Release of the kernel.
    pub kernel: String,
    /// Whether this program was built without optimisation, which makes its figures meaningless.
    pub is_debug_build: bool,
}

impl Machine {
    /// Describes this machine.
    #[must_use]
    pub fn here() -> Self {
        let cpu = Fields::read("/proc/cpuinfo");
        let memory = Fields::read("/proc/meminfo");
        let kernel = uname().map(|name| name.release().to_string_lossy().into_owned());
        Self {
            cpus: thread::available_parallelism().map_or(1, Into::into),
            model: cpu.and_then(|cpu| cpu.text("model name").map(str::to_owned)),
            memory_bytes: memory.and_then(|memory| memory.bytes("MemTotal")),
            kernel: kernel.unwrap_or_default(),
            is_debug_build: cfg!(debug_assertions),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.cpus == 1 { "processor" } else { "processors" };
        write!(f, "{} {plural}", self.cpus)?;
        if let Some(model) = &self.model {
            write!(f, " ({model})")?;
        }
        if let Some(bytes) = self.memory_bytes {
            write!(f, ", {}", show_size(bytes))?;
        }
        write!(f, ", Linux {}", self.kernel)?;
        if self.is_debug_build {
            write!(f, "; a debug build, whose figures are no measure")?;
        }
        Ok(())
    }
}
