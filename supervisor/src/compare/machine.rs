//! On which machine was it measured? Figures without one say nothing.

use std::{fmt, thread};

use nix::sys::utsname::uname;
use process::proc::Fields;
use serde::Serialize;
use text::units::show_size;

/// What there is to know of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Machine {
    /// The processors that this process may use.
    pub cpus: usize,
    /// What they are, where the kernel says.
    pub model: Option<String>,
    /// All its memory.
    pub memory_bytes: Option<u64>,
    /// Which kernel.
    pub kernel: String,
    /// Whether this program was built without optimisation: its figures are then no measure.
    pub is_debug_build: bool,
}

impl Machine {
    /// This one.
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
