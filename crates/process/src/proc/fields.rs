//! Files of `Name: value` lines, such as `/proc/PID/status`.

use std::path::Path;

use super::read;

/// The text of a file that holds one `Name: value` pair per line.
#[derive(Debug)]
pub struct Fields(String);

impl Fields {
    /// Reads a file; `None` where that fails, as it does once a process is gone.
    #[must_use]
    pub fn read(path: impl AsRef<Path>) -> Option<Self> {
        read::text(path).map(Self)
    }

    /// Reads `/proc/PID/status`.
    #[must_use]
    pub fn status(pid: i32) -> Option<Self> {
        Self::read(format!("/proc/{pid}/status"))
    }

    /// Reads `/proc/PID/smaps_rollup`, for which the kernel walks the page tables of the process.
    #[must_use]
    pub fn smaps_rollup(pid: i32) -> Option<Self> {
        Self::read(format!("/proc/{pid}/smaps_rollup"))
    }

    /// The value of a field, without the white space around it.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let rest = self.0.lines().find_map(|line| {
            // `/proc/cpuinfo` has white space before the colon.
            line.strip_prefix(name)?.trim_start().strip_prefix(':')
        })?;
        Some(rest.trim())
    }

    /// The value of a field that is a plain number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// The value of a field in kB (which are KiB), in bytes.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<u64> {
        let kib: u64 = self.text(name)?.strip_suffix(" kB")?.parse().ok()?;
        kib.checked_mul(1024)
    }
}

impl From<String> for Fields {
    fn from(text: String) -> Self {
        Self(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "VmRSSAnon:\t   7 kB\nVmRSS:\t      12 kB\nThreads:\t3\nmodel name\t: A: B\n";
        let fields = Fields::from(text.to_owned());
        assert_eq!((fields.bytes("VmRSS"), fields.number("Threads")), (Some(12 << 10), Some(3)));
        assert_eq!(fields.text("model name"), Some("A: B"));
        assert_eq!((fields.bytes("Threads"), fields.number("Vm")), (None, None));
    }
}
