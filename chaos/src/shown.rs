//! What was put out: the records of jobs on stdout.

use serde_json::Value;

use crate::{Fault, books::Shown};

/// The records of a run's output. The last line of a supervisor that died may be torn.
pub(crate) fn read(output: &[u8]) -> Result<Vec<Shown>, Fault> {
    let whole = output.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let lines = output[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut shown = Vec::new();
    for line in lines {
        let record: Value = serde_json::from_slice(line)
            .map_err(|fault| format!("`{}`: {fault}", String::from_utf8_lossy(line)))?;
        // One that was not run has no end yet.
        if record["type"] == "job" && record["status"] != "not_run" {
            shown.push(of_job(&record).ok_or_else(|| format!("a record that is none: {record}"))?);
        }
    }
    Ok(shown)
}

fn of_job(record: &Value) -> Option<Shown> {
    // Both begin with the job's number.
    let text = record["reply"].as_str().or_else(|| record["input"].as_str())?;
    Some(Shown {
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
    fn records_are_read_and_a_torn_one_is_none() {
        let output = br#"{"type":"job","id":1,"status":"ok","attempts":[],"reply":"7 done"}
{"type":"started","worker":1}
{"type":"job","id":2,"status":"failed","redelivered":true,"input":"8 fails"}
{"type":"job","id":3,"sta"#;
        let shown = read(output).unwrap();
        let told: Vec<_> = shown.iter().map(|s| (s.job, s.status.as_str(), s.again)).collect();
        assert_eq!(told, [(7, "ok", false), (8, "failed", true)]);
        assert!(read(b"{}{}\n").is_err());
    }
}
