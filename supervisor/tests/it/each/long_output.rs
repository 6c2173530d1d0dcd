//! Output of commands that is too long for memory, and lines that are longer than any buffer.

use std::collections::BTreeSet;

use crate::support::{Run, Value};

/// More than the supervisor keeps in memory or in a frame, on both streams.
const BYTES: usize = 20_000_000;

#[test]
fn all_output_of_a_command_is_written_however_long_it_is() {
    let script = "head -c 20000000 /dev/zero | tr '\\0' {}; printf {}-end >&2";
    for options in ["", "-k", "--stdin -k", "--tag -k", "--lb", "-u", "--format jsonl"] {
        let run = if options.contains("--stdin") {
            Run::each(["sh", "-c", "l=$(cat); head -c 20000000 /dev/zero | tr '\\0' $l"])
        } else {
            Run::each_sh(script)
        };
        let run = run.with("-j 2").with(options).piped("x\ny\n").finish();
        assert_eq!(run.code(), Some(0), "{options}: {}", run.stderr);
        let count = |letter: u8| run.stdout.iter().filter(|byte| **byte == letter).count();
        if options.contains("jsonl") {
            let jobs = run.jobs();
            let written = |job: &Value| job["attempts"][0]["stdout"].as_str().unwrap().len();
            assert_eq!(jobs.iter().map(written).collect::<Vec<_>>(), [BYTES, BYTES]);
        } else {
            let tag = usize::from(options.contains("--tag"));
            assert_eq!([count(b'x'), count(b'y')], [BYTES + tag; 2], "{options}");
        }
        assert!(!run.stderr.contains("left out"), "{options}: {}", run.stderr);
    }
}

#[test]
fn long_output_keeps_its_order_behind_a_slow_job() {
    let script = "[ {} = 1 ] && sleep 0.3; head -c 3000000 /dev/zero | tr '\\0' {}; echo";
    let run = Run::each_sh(script).with("-k -j 4").piped("1\n2\n3\n4\n").finish();
    let letters: Vec<String> = (1..=4).map(|n| n.to_string().repeat(3_000_000)).collect();
    assert!(run.lines() == letters && run.code() == Some(0), "{}", run.stderr);
}

#[test]
fn a_full_disk_is_reported_where_long_output_needs_it() {
    let script = "head -c 20000000 /dev/zero | tr '\\0' x; echo end";
    // No file may grow beyond this size, as on a disk that is full.
    let run = Run::each_sh(script).after("trap '' XFSZ; ulimit -f 4000").given(["a"]).finish();
    assert_eq!(run.code(), Some(5), "{}", run.stderr);
    let message = "supervisor: long output of commands needs a temporary file in ";
    assert!(run.stderr.contains(message), "{}", run.stderr);
    assert!(run.stderr.contains("of its stdout are left out"), "{}", run.stderr);
}

/// The letters of each line, for lines of `LETTER × n`.
fn mixed(stdout: &[u8]) -> Vec<BTreeSet<u8>> {
    let lines = stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| line.iter().copied().collect())
        .filter(|set: &BTreeSet<_>| set.len() > 1)
        .collect()
}

#[test]
fn long_lines_of_different_jobs_are_never_mixed() {
    let script = "import sys\nfor i in range(8):\n for n in (20, 100, 2000):\n  \
                  sys.stdout.write(sys.argv[1] * n * 1000 + '\\n'); sys.stdout.flush()";
    for options in ["--lb", "--output lines"] {
        let run = Run::each(["python3", "-S", "-c", script]).with("-j 4").with(options);
        let run = run.given(["a", "b", "c", "d"]).finish();
        assert_eq!((run.code(), run.lines().len()), (Some(0), 4 * 8 * 3), "{}", run.stderr);
        assert_eq!(mixed(&run.stdout), [], "{options}");
    }
}

#[test]
fn a_long_line_is_not_cut_within_a_character() {
    let print = "print('a' + '€' * 12000)";
    let run = Run::of(["python3", "-S", "-c", print]).finish();
    let text = str::from_utf8(&run.stdout).expect("whole characters");
    assert_eq!(text.matches('€').count(), 12_000);
    let run = Run::of(["python3", "-S", "-c", print]).jsonl().finish();
    let lines: String = run
        .records("output")
        .iter()
        .map(|record| record["line"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((lines.matches('€').count(), lines.matches('\u{fffd}').count()), (12_000, 0));
}

#[test]
fn an_input_with_a_newline_forges_no_line() {
    for options in ["--tag", "--tag --lb"] {
        let run = Run::each(["sh", "-c", "echo said", "x"]).with("-k -0").with(options);
        let run = run.piped("a\nsupervisor: forged \u{1b}[2J").finish();
        assert_eq!(run.stdout_text(), "a^Jsupervisor: forged ^[[2J\tsaid\n", "{options}");
    }
}
