//! Lines of workers' output, as `supervisor logs` gives them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A line that a worker wrote.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct LogLine {
    /// Number of the worker's slot.
    pub worker: u32,
    /// Generation of the worker in its slot.
    pub generation: u32,
    /// `stdout` or `stderr`.
    pub stream: Cow<'static, str>,
    /// The line without its newline; bytes that are not UTF-8 are replaced.
    pub line: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_log_line() {
        let line = LogLine { worker: 2, generation: 7, stream: "stderr".into(), line: "é".into() };
        let golden = r#"{"worker":2,"generation":7,"stream":"stderr","line":"é"}"#;
        assert_eq!(serde_json::to_string(&line).unwrap(), golden);
    }
}
