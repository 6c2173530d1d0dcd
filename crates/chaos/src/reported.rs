//! Reads the fourth ledger: the records of jobs on stdout.

use serde_json::Value;

use crate::{Fault, books::Reported};

/// Reads the records in a run's output. An incomplete last line, left by a supervisor that died, is
/// ignored.
pub(crate) fn read(output: &[u8]) -> Result<Vec<Reported>, Fault> {
    let whole = output.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let lines = output[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut reported = Vec::new();
    for line in lines {
        let record: Value = serde_json::from_slice(line)
            .map_err(|fault| format!("`{}`: {fault}", String::from_utf8_lossy(line)))?;
        // A job that was interrupted or not run has no outcome yet.
        let is_final = record["status"] != "not_run" && record["status"] != "interrupted";
        if record["type"] == "job" && is_final {
            reported.push(of_job(&record).ok_or_else(|| format!("not a valid record: {record}"))?);
        }
    }
    Ok(reported)
}

fn of_job(record: &Value) -> Option<Reported> {
    // The reply and the input both begin with the job's number.
    let text = record["reply"].as_str().or_else(|| record["input"].as_str())?;
    Some(Reported {
        job: text.split(' ').next()?.parse().ok()?,
        // The rows of a journal have a name of their own for it.
        status: match record["status"].as_str()? {
            "quarantined" => "crashed".into(),
            status => status.into(),
        },
        again: record["redelivered"].as_bool().unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_an_incomplete_one_is_ignored() {
        let output = br#"{"type":"job","id":1,"status":"ok","attempts":[],"reply":"7 done"}
{"type":"started","worker":1}
{"type":"job","id":2,"status":"failed","redelivered":true,"input":"8 fails"}
{"type":"job","id":3,"sta"#;
        let reported = read(output).unwrap();
        let read_back: Vec<_> =
            reported.iter().map(|s| (s.job, s.status.as_str(), s.again)).collect();
        assert_eq!(read_back, [(7, "ok", false), (8, "failed", true)]);
        assert!(read(b"{}{}\n").is_err());
    }
}
