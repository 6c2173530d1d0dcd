//! Workers' output in every format: whole lines, in order, with their origin.

use crate::support::{Finished, Run};

fn lines_of<'a>(run: &'a Finished, prefix: &str) -> Vec<&'a str> {
    run.lines().into_iter().filter_map(|line| line.strip_prefix(prefix)).collect()
}

#[test]
fn lines_carry_their_worker_and_keep_their_stream() {
    let script = "echo out $SUPERVISOR_WORKER; echo err $SUPERVISOR_WORKER >&2; echo";
    let run = Run::sh(script).with("--workers 3").finish();
    for worker in 1..=3 {
        let prefix = format!("[{worker}] ");
        assert_eq!(lines_of(&run, &prefix), [&format!("out {worker}"), ""]);
        let line = format!("[{worker}] err {worker}");
        assert_eq!(run.stderr.lines().filter(|printed| *printed == line).count(), 1);
    }
    let tasks: Vec<_> = run.lines().split_off(6);
    for (number, task) in (1..).zip(&tasks) {
        assert!(task.starts_with(&format!("Task {number} (PID ")), "{task}");
        assert!(task.ends_with(") exited with code 0"), "{task}");
    }
    assert_eq!(tasks.len(), 3);
}

#[test]
fn lines_of_many_workers_are_whole_and_in_order() {
    let run = Run::sh("seq 1 3000").with("--workers 6").finish();
    let expected: Vec<String> = (1..=3000).map(|number: u32| number.to_string()).collect();
    for worker in 1..=6 {
        assert_eq!(lines_of(&run, &format!("[{worker}] ")), expected);
    }
    assert_eq!(run.lines().len(), 6 * 3000 + 6);
}

#[test]
fn a_last_line_without_newline_is_kept() {
    let script = "printf 'whole\npart'; printf 'no end' >&2";
    let run = Run::sh(script).finish();
    assert_eq!(run.lines()[..2], ["[1] whole", "[1] part"]);
    assert!(run.stderr.starts_with("[1] no end\n"), "{}", run.stderr);

    let run = Run::sh(script).jsonl().finish();
    let mut seen: Vec<_> = run.records("output");
    seen.sort_by_key(|record| record["stream"].as_str() == Some("stderr"));
    let partial: Vec<_> = seen.iter().map(|record| record["partial"] == true).collect();
    assert_eq!(partial, [false, true, true]);
    assert_eq!((&seen[1]["line"], &seen[2]["line"]), (&"part".into(), &"no end".into()));
}

const LONG: &str = "head -c 102400 /dev/zero | tr '\\0' x; echo; echo next";

#[test]
fn a_long_line_is_written_whole() {
    let run = Run::sh(LONG).finish();
    let lines = run.lines();
    let first = lines[0].strip_prefix("[1] ").unwrap();
    let more = lines[1..].iter().map_while(|line| line.strip_prefix("[1+] "));
    let parts: Vec<_> = [first].into_iter().chain(more).collect();
    assert!(parts.len() > 1 && parts.iter().all(|part| part.len() <= 16 << 10));
    assert_eq!(parts.concat(), "x".repeat(100 << 10));
    assert_eq!(lines[parts.len()], "[1] next");
}

#[test]
fn records_mark_the_parts_of_a_long_line() {
    let records = Run::sh(LONG).jsonl().finish().records("output");
    let (next, parts) = records.split_last().unwrap();
    assert_eq!((&next["line"], &next["continues"]), (&"next".into(), &serde_json::Value::Null));
    let text: String = parts.iter().map(|part| part["line"].as_str().unwrap()).collect();
    assert_eq!(text, "x".repeat(100 << 10));
    for (index, part) in parts.iter().enumerate() {
        assert_eq!(part["continues"] == true, index > 0, "part {index}");
        assert_eq!(part["partial"] == true, index + 1 < parts.len(), "part {index}");
    }
}

#[test]
fn records_carry_binary_output_as_base64() {
    let run = Run::sh(r"printf '\377\376\n\303\251 \033\n'").jsonl().finish();
    let [odd, text] = &run.records("output")[..] else { panic!("{}", run.stdout_text()) };
    assert_eq!((&odd["line_base64"], odd.get("line")), (&"//4=".into(), None));
    assert_eq!((&text["line"], text.get("line_base64")), (&"é \u{1b}".into(), None));
}

#[test]
fn records_carry_stream_worker_generation_and_pid() {
    let run = Run::sh("echo out; echo err >&2").jsonl().finish();
    let pid = run.records("started")[0]["pid"].clone();
    let mut records = run.records("output");
    records.sort_by_key(|record| record["stream"].as_str() == Some("stderr"));
    for (record, (stream, line)) in records.iter().zip([("stdout", "out"), ("stderr", "err")]) {
        assert_eq!((&record["stream"], &record["line"]), (&stream.into(), &line.into()));
        assert_eq!(
            (&record["worker"], &record["generation"], &record["pid"]),
            (&1.into(), &1.into(), &pid)
        );
    }
    assert_eq!(records.len(), 2);
}

#[test]
fn raw_output_is_byte_exact() {
    let mut noise = vec![0; 1 << 20];
    let mut random = std::fs::File::open("/dev/urandom").unwrap();
    std::io::Read::read_exact(&mut random, &mut noise).unwrap();
    let run = Run::sh("cat noise; cat noise >&2").with("--output raw");
    run.scratch.file("noise", &noise, 0o644);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let stderr = std::thread::spawn(move || {
        let mut all = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut all).map(|_| all).unwrap()
    });
    let run = run.stderr(writer).finish();
    assert!(stderr.join().unwrap().starts_with(&noise));
    let (data, task) = run.stdout.split_at(noise.len());
    assert!(data == noise);
    assert!(task.starts_with(b"Task 1 (PID ") && task.ends_with(b") exited with code 0\n"));
}

#[test]
fn timestamps_prefix_each_line() {
    let before = std::time::SystemTime::now() - std::time::Duration::from_millis(1);
    let run = Run::sh("echo a; echo b").with("--timestamps").finish();
    let lines = run.lines();
    for (line, text) in lines[..2].iter().zip(["a", "b"]) {
        let (time, rest) = line.split_once(' ').unwrap();
        assert_eq!(rest, format!("[1] {text}"));
        let time = humantime::parse_rfc3339(time).unwrap();
        assert!(before <= time && time <= std::time::SystemTime::now(), "{line}");
    }
}
