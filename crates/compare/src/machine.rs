//! Describes the machine on which the figures were measured.

use std::{fmt, fs, thread};

use nix::sys::utsname::uname;
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
        let value = |file: &str, name: &str| {
            let text = fs::read_to_string(file).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim_start_matches([' ', '\t', ':']).trim().to_owned())
        };
        let memory = value("/proc/meminfo", "MemTotal");
        let kib = memory.and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok());
        let kernel = uname().map(|name| name.release().to_string_lossy().into_owned());
        Self {
            cpus: thread::available_parallelism().map_or(1, Into::into),
            model: value("/proc/cpuinfo", "model name"),
            memory_bytes: kib.map(|kib| kib * 1024),
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
