//! The resource limits of workers, and the syntax of `--limit name=value,…`: for instance
//! `data=512M,cpu=30s,nofile=256`. The value `unlimited` lifts a limit.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use text::units::{QuantityError, parse_duration, parse_size};

/// A resource that the kernel limits for each process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Resource {
    /// Address space, in bytes. Runtimes that reserve much of it (Node, Java) do not start under
    /// such a limit.
    AddressSpace,
    /// Private writable memory, in bytes; `--memory` sets this one.
    Data,
    /// CPU time, in seconds.
    Cpu,
    /// Open files.
    OpenFiles,
    /// The number of processes and threads of the user. The kernel does not apply it to root.
    Processes,
    /// The size of a file that the process writes, in bytes.
    FileSize,
    /// The size of the process's core dump, in bytes.
    Core,
    /// The stack of the process's first thread, in bytes.
    Stack,
}

impl Resource {
    /// All resources.
    pub const ALL: [Self; 8] = [
        Self::AddressSpace,
        Self::Data,
        Self::Cpu,
        Self::OpenFiles,
        Self::Processes,
        Self::FileSize,
        Self::Core,
        Self::Stack,
    ];

    /// The name in `--limit`: that of `setrlimit`, without its prefix.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AddressSpace => "as",
            Self::Data => "data",
            Self::Cpu => "cpu",
            Self::OpenFiles => "nofile",
            Self::Processes => "nproc",
            Self::FileSize => "fsize",
            Self::Core => "core",
            Self::Stack => "stack",
        }
    }

    fn parse_value(self, text: &str) -> Result<u64, LimitError> {
        if ["unlimited", "infinity"].contains(&text) {
            return Ok(UNLIMITED);
        }
        match self {
            Self::Cpu => {
                let cpu = parse_duration(text)?;
                // The kernel counts whole seconds, and takes 0 as 1.
                Ok((cpu.as_secs() + u64::from(cpu.subsec_nanos() > 0)).max(1))
            }
            Self::OpenFiles | Self::Processes => {
                text.parse().map_err(|_| LimitError::Count { name: self.name(), text: text.into() })
            }
            _ => Ok(parse_size(text)?),
        }
    }
}

/// No limit, as the kernel writes it.
pub const UNLIMITED: u64 = u64::MAX;

/// Limits by resource, each in the unit of its resource.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Limits {
    of_process: Vec<(Resource, u64)>,
    /// The most resident memory that a process and all processes below it may hold together, in
    /// bytes. The supervisor enforces it by sampling; the kernel has no such limit.
    tree_bytes: Option<u64>,
}

impl Limits {
    /// Sets a limit. A later value replaces an earlier one.
    pub fn set(&mut self, resource: Resource, value: u64) {
        self.of_process.retain(|(known, _)| *known != resource);
        self.of_process.push((resource, value));
    }

    /// Combines all `--limit` options, where later values win, with `--memory` in bytes. `--memory`
    /// limits a process and all processes below it together, and is the default for `data`.
    #[must_use]
    pub fn gather(given: &[Self], memory: Option<u64>) -> Self {
        let mut limits = Self { tree_bytes: memory, ..Self::default() };
        if let Some(bytes) = memory {
            limits.set(Resource::Data, bytes);
        }
        for (resource, value) in given.iter().flat_map(Self::iter) {
            limits.set(resource, value);
        }
        limits
    }

    /// The most memory that a process and all processes below it may hold together, in bytes;
    /// `None` if it is not limited.
    #[must_use]
    pub fn tree_bytes(&self) -> Option<u64> {
        self.tree_bytes
    }

    /// The limit of a resource, in its unit; `None` if it is not set, or lifted.
    #[must_use]
    pub fn get(&self, resource: Resource) -> Option<u64> {
        let set = self.of_process.iter().find(|(known, _)| *known == resource);
        set.map(|(_, value)| *value).filter(|value| *value != UNLIMITED)
    }

    /// The tightest limit on the memory of a process, in bytes, if there is one.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        let limits = [Resource::Data, Resource::AddressSpace].map(|resource| self.get(resource));
        limits.into_iter().chain([self.tree_bytes]).flatten().min()
    }

    /// All limits that are set.
    pub fn iter(&self) -> impl Iterator<Item = (Resource, u64)> {
        self.of_process.iter().copied()
    }
}

impl FromIterator<(Resource, u64)> for Limits {
    fn from_iter<I: IntoIterator<Item = (Resource, u64)>>(all: I) -> Self {
        let mut limits = Self::default();
        all.into_iter().for_each(|(resource, value)| limits.set(resource, value));
        limits
    }
}

/// Why a `--limit` was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// It is not of the form `name=value`.
    #[error("`{0}` sets no limit: write name=value, such as data=512M")]
    NoValue(String),
    /// The name is unknown.
    #[error("`{0}` is not a limit: there are as, data, cpu, nofile, nproc, fsize, core and stack")]
    UnknownName(String),
    /// The value does not have the form that the limit takes.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    /// The value is not a count.
    #[error(
        "`{text}` is not a count for the limit {name}: write a whole number, such as {name}=256"
    )]
    Count {
        /// The name of the limit.
        name: &'static str,
        /// The value as it was written.
        text: String,
    },
}

impl FromStr for Limits {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let mut limits = Self::default();
        for part in text.split(',') {
            let (name, value) =
                part.split_once('=').ok_or_else(|| LimitError::NoValue(part.into()))?;
            let resource = Resource::ALL
                .into_iter()
                .find(|resource| resource.name() == name.trim())
                .ok_or_else(|| LimitError::UnknownName(name.into()))?;
            limits.set(resource, resource.parse_value(value.trim())?);
        }
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_by_name_each_in_its_unit() {
        let limits: Limits =
            "data=512M,cpu=1.5s, nofile=256,core=unlimited,data=1k".parse().unwrap();
        assert_eq!(limits.get(Resource::Data), Some(1024));
        assert_eq!(limits.get(Resource::Cpu), Some(2));
        assert_eq!(limits.get(Resource::OpenFiles), Some(256));
        assert_eq!(limits.get(Resource::Core), None);
        assert_eq!(limits.iter().count(), 4);
    }

    #[test]
    fn a_bad_limit_is_named() {
        for (text, word) in [
            ("ram=5", "`ram` is not a limit"),
            ("data", "`data` sets no limit"),
            ("data=lots", "`lots` is not a size"),
            ("nofile=64k", "`64k` is not a count"),
            ("cpu=x", "`x` is not a duration"),
            ("", "`` sets no limit"),
        ] {
            let message = text.parse::<Limits>().unwrap_err().to_string();
            assert!(message.starts_with(word), "{message}");
        }
    }
}
