//! JUnit XML for test dashboards: each job is a test case, and its earlier attempts are flaky
//! failures or reruns, as Maven's Surefire writes them.

use std::io::Write;

use crate::template::Template;
use pool::job::{Attempt, AttemptEnd, JobEnd, Outcome};
use records::words::failure;

/// Bytes of the end of each stream that are shown.
const OUTPUT_BYTES_MAX: usize = 64 << 10;

#[derive(Debug)]
pub(in crate::sink) struct Junit {
    template: Option<Template>,
    tests: u64,
    failures: u64,
    skipped: u64,
    /// Time of all attempts, in milliseconds.
    milliseconds: u64,
}

impl Junit {
    pub(in crate::sink) fn new(template: Option<Template>) -> Self {
        Self { template, tests: 0, failures: 0, skipped: 0, milliseconds: 0 }
    }

    /// Appends the head. It has the same length whatever the numbers are, since the end of the run
    /// overwrites it.
    pub(in crate::sink) fn head(&self, out: &mut Vec<u8>) {
        let numbers = format!(
            "tests=\"{}\" failures=\"{}\" skipped=\"{}\" errors=\"0\" time=\"{}.{:03}\"",
            self.tests,
            self.failures,
            self.skipped,
            self.milliseconds / 1000,
            self.milliseconds % 1000
        );
        // Five numbers of at most 20 digits.
        let _ = write!(
            out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"supervisor\">\n\
             <testsuite name=\"supervisor\" {numbers:<160}>\n"
        );
    }

    pub(in crate::sink) fn outcome(&mut self, outcome: &Outcome, out: &mut Vec<u8>) {
        self.tests += 1;
        let slot = outcome.last.as_ref().map_or(0, |last| last.worker.slot);
        let took: u128 = outcome.attempts().map(|attempt| attempt.took.as_millis()).sum();
        let took = u64::try_from(took).unwrap_or(u64::MAX);
        self.milliseconds = self.milliseconds.saturating_add(took);
        let mut name = Vec::new();
        super::command(outcome, slot, self.template.as_ref(), &mut name);
        let _ = write!(out, "<testcase classname=\"job {}\" name=\"", outcome.id);
        escape(&name, out);
        let _ = writeln!(out, "\" time=\"{}.{:03}\">", took / 1000, took % 1000);
        match &outcome.end {
            JobEnd::Ok(_) => outcome.earlier.iter().for_each(|a| attempt("flakyFailure", a, out)),
            JobEnd::Failed | JobEnd::Crashed => {
                self.failures += 1;
                outcome.last.iter().for_each(|last| attempt("failure", last, out));
                outcome.earlier.iter().for_each(|a| attempt("rerunFailure", a, out));
            }
            JobEnd::TooLong { .. } => {
                self.failures += 1;
                out.extend_from_slice(b"<failure message=\"longer than a job may be\"/>\n");
            }
            JobEnd::Interrupted => {
                self.skipped += 1;
                out.extend_from_slice(
                    b"<skipped message=\"interrupted by the end of the run\"/>\n",
                );
            }
            JobEnd::NotRun => {
                self.skipped += 1;
                out.extend_from_slice(b"<skipped message=\"the run ended before it\"/>\n");
            }
        }
        if let Some(AttemptEnd::Ran(ran)) = outcome.last.as_ref().map(|last| &last.end) {
            let written = ran.output.in_memory(2 * OUTPUT_BYTES_MAX);
            output("system-out", written.stdout(), out);
            output("system-err", written.stderr(), out);
        }
        out.extend_from_slice(b"</testcase>\n");
    }

    pub(in crate::sink) fn end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"</testsuite>\n</testsuites>\n");
    }
}

fn attempt(element: &str, attempt: &Attempt, out: &mut Vec<u8>) {
    let _ = write!(out, "<{element} message=\"attempt {}: ", attempt.number);
    escape(failure(attempt).as_bytes(), out);
    out.extend_from_slice(b"\"/>\n");
}

fn output(element: &str, bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let _ = write!(out, "<{element}>");
    escape(&bytes[bytes.len().saturating_sub(OUTPUT_BYTES_MAX)..], out);
    let _ = writeln!(out, "</{element}>");
}

/// Appends text as XML 1.0 allows it: other characters become U+FFFD.
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '&' => out.extend_from_slice(b"&amp;"),
            '<' => out.extend_from_slice(b"&lt;"),
            '>' => out.extend_from_slice(b"&gt;"),
            '"' => out.extend_from_slice(b"&quot;"),
            // In an attribute a literal one would be read as a blank.
            '\n' | '\t' | '\r' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.extend_from_slice("\u{fffd}".as_bytes()),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_become_valid_xml() {
        let mut out = Vec::new();
        escape(b"<a> & \"b\"\n\x1b\xff", &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "&lt;a&gt; &amp; &quot;b&quot;&#10;\u{fffd}\u{fffd}");
    }

    #[test]
    fn the_head_has_the_same_length_whatever_the_totals() {
        let (mut first, mut last) = (Vec::new(), Vec::new());
        Junit::new(None).head(&mut first);
        let max = u64::MAX;
        Junit { template: None, tests: max, failures: max, skipped: max, milliseconds: max }
            .head(&mut last);
        assert_eq!(first.len(), last.len());
    }
}
