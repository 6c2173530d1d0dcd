//! Compares `supervisor each` with GNU parallel: both get the same command line and input, and their
//! output must be equal byte for byte, as must the joblog columns that do not vary.
//!
//! Intended differences: a run with failures exits with 1, GNU parallel with their number; a killed
//! job has 128 + its signal as Exitval, with GNU parallel 0; a shell runs the command only with
//! `--shell`; and `{.}` of a hidden file such as `.profile` is the whole name, with GNU parallel
//! nothing.

use std::{
    fs,
    io::{self, Write},
    process::{Command, Output, Stdio},
};

use crate::support::{SUPERVISOR, files::Scratch, load, reset_signals};

/// A command line and an input for both programs.
struct Case {
    /// Options that both programs know.
    options: &'static str,
    /// Whether a shell runs the words; with GNU parallel it always does.
    shell: bool,
    words: &'static [&'static str],
    stdin: &'static str,
}

const fn words(words: &'static [&'static str]) -> Case {
    Case { options: "", shell: false, words, stdin: "" }
}

const fn script(words: &'static [&'static str]) -> Case {
    Case { shell: true, ..self::words(words) }
}

impl Case {
    const fn with(self, options: &'static str) -> Self {
        Self { options, ..self }
    }

    const fn fed(self, stdin: &'static str) -> Self {
        Self { stdin, ..self }
    }
}

const CASES: [Case; 71] = [
    // Inputs.
    words(&["echo", ":::", "a", "b", "c"]),
    words(&["echo", ":::"]),
    words(&["echo"]).fed("a\nb\nc\n"),
    words(&["echo"]).fed("a\nb\nc"),
    words(&["echo"]).fed(""),
    words(&["echo"]).fed("one two\n  three  \n\ttab\n"),
    words(&["echo"]).with("-0").fed("a b\0c\nd\0"),
    words(&["echo"]).with("-a -").fed("a\nb\n"),
    words(&["echo", ":::", "a b", "c'd", "e\"f", "$HOME", "`x`", "a;b", "*", "\\", "~", "#x", "!"]),
    words(&[
        "printf", "%s.", ":::", "é", "日本", "-n", "--help", "(", ")", "<", ">", "|", "&", "?", "[",
    ]),
    words(&["printf", "%s.", ":::", "a", "b"]),
    // Products and links.
    words(&["echo", ":::", "a", "b", ":::", "1", "2", "3"]),
    words(&["echo", ":::", "a", "b", ":::", "1", "2", ":::", "x", "y"]),
    words(&["echo", ":::", "a", "b", "c", ":::+", "1", "2", "3"]),
    words(&["echo", ":::", "a", "b", "c", ":::+", "1", "2"]),
    words(&["echo", ":::", "a", "b", ":::+", "1", "2", ":::", "x", "y"]),
    words(&["echo", ":::", "a", "b", ":::", "1", "2", ":::+", "x", "y"]),
    words(&["echo", "{1}-{2}", ":::", "a", "b", ":::", "1", "2"]),
    words(&["echo", "{2}-{1}", ":::", "a", "b", ":::", "1", "2"]),
    words(&["echo", "{2}", ":::", "a", "b", ":::", "1", "2"]),
    words(&["echo", "[{}]", ":::", "a", "b", ":::", "1", "2"]),
    words(&["echo", "{1/}", "{2.}", "{1//}", "{2/.}", ":::", "d/a.x", ":::", "e/b.tar.gz"]),
    // Placeholders.
    words(&["echo", "{}", ":::", "a/b.c"]),
    words(&["echo", "{.}", ":::", "a/b.c", "a.b/c", "x.tar.gz", "nodot"]),
    words(&["echo", "{/}", ":::", "a/b.c", "/abs/p", "plain"]),
    words(&["echo", "{//}", ":::", "a/b.c", "/abs/p", "plain", "a/b/c"]),
    words(&["echo", "{/.}", ":::", "a/b.c", "a.b/c", "x/y.tar.gz"]),
    words(&["echo", "{#}", ":::", "x", "y", "z"]),
    words(&["echo", "{#}:{}", ":::", "x", "y", "z"]),
    words(&["echo", "{%}", ":::", "x", "y"]).with("-j 1"),
    words(&["echo", "x{}y", "{}", ":::", "a", "b"]),
    words(&["echo", "{}{}", ":::", "a", "b"]),
    words(&["echo", "{}.{.}", ":::", "a.b"]),
    words(&["echo", ",,", "{}", ":::", "a"]).with("-I ,,"),
    words(&["echo", "x@y", ":::", "a b"]).with("-I @"),
    // Scripts.
    script(&["echo {}; echo {}", ":::", "a", "b c"]),
    script(&["echo {} | tr a-z A-Z", ":::", "abc", "x'y"]),
    script(&["echo $(({} * 2))", ":::", "1", "2", "21"]),
    script(&["echo {} > /dev/null; echo done", ":::", "a"]),
    script(&["for i in 1 2; do echo {}$i; done", ":::", "a", "b"]),
    script(&["echo ${HOME:+set} {}", ":::", "a"]),
    script(&["if [ {} = a ]; then echo yes; else echo no; fi", ":::", "a", "b"]),
    script(&["printf '%s|' {}", ":::", "a b", "c"]),
    script(&["echo a b", "{}", "c", ":::", "x"]),
    script(&["echo", "a  b", ":::", "x"]),
    script(&["cd / && pwd; echo", ":::", "x"]),
    script(&["seq {} | wc -l", ":::", "1000", "20"]),
    script(&[":::", "echo one", "echo $((1 + 1))", "printf three"]),
    script(&[":::", "echo", "printf %s,", ":::", "x  y", "z"]),
    script(&[":::", "echo", "printf", ":::+", "a | tr a b", "%s.%s c d"]),
    script(&["{}", ":::", "echo a; echo b"]),
    script(&[]).fed("echo one\necho two | cat\nfalse\n"),
    script(&["echo out {}; echo err {} >&2", ":::", "a", "b"]),
    script(&["printf 'no newline %s' {}", ":::", "a", "b"]),
    script(&["head -c 300000 /dev/zero | tr '\\0' {}", ":::", "x", "y"]),
    script(&["sleep 0.{}; echo {}", ":::", "3", "1", "2"]).with("-j 3"),
    script(&["printf '\\377\\000\\001'; echo", ":::", "x"]),
    // Tags.
    words(&["echo", ":::", "a", "b"]).with("--tag"),
    words(&["echo", ":::", "a", "b", ":::", "1", "2"]).with("--tag"),
    script(&["seq {}", ":::", "1", "3"]).with("--tag"),
    script(&["printf 'x\\n\\ny\\n%s\\n' {}", ":::", "a b"]).with("--tag"),
    // Ends.
    script(&["exit {}", ":::", "0", "1", "2", "255"]),
    script(&["echo {}; exit {}", ":::", "3", "0"]),
    script(&["exit {}", ":::", "0", "0"]),
    script(&["kill -9 $$; echo", ":::", "a"]),
    script(&["no-such-command-here", ":::", "a", "b"]),
    words(&["true", ":::", "a", "b"]),
    words(&["false", ":::", "a", "b"]),
    script(&["echo {}; [ {} != b ]", ":::", "a", "b", "c"]).with("-j 1 --halt now,fail=1"),
    script(&["echo {}; [ {} = b ]", ":::", "a", "b", "c"]).with("-j 1 --halt now,success=1"),
    script(&["echo {}", ":::", "a", "b", "c"]).with("--dry-run"),
];

fn run(mut command: Command, case: &Case) -> Output {
    command.args(["-k", "--joblog", "joblog"]).args(case.options.split_whitespace());
    if !case.options.contains("-j") {
        command.args(["-j", "4"]);
    }
    command.args(case.words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that reads nothing may have ended already.
    let _ = child.stdin.take().unwrap().write_all(case.stdin.as_bytes());
    child.wait_with_output().unwrap()
}

/// Seq, Exitval, Signal and Command of each line, in job order.
fn joblog(scratch: &Scratch) -> Vec<[String; 4]> {
    let path = scratch.path().join("joblog");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let _ = fs::remove_file(path);
    let mut lines: Vec<[String; 4]> = text
        .lines()
        .skip(1)
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            [0, 6, 7, 8].map(|column| columns[column].to_owned())
        })
        .collect();
    lines.sort_by_key(|columns| columns[0].parse::<u64>().unwrap());
    lines
}

fn is_gnu() -> bool {
    let version = Command::new("parallel").arg("--version").stderr(Stdio::null()).output();
    version.is_ok_and(|output| output.stdout.starts_with(b"GNU parallel"))
}

#[test]
fn output_and_joblog_match_gnu_parallel() {
    let _busy = load::busy();
    reset_signals();
    if !is_gnu() {
        // Written directly, since the test harness captures `println!`.
        let _ = io::stderr().write_all(
            b"\nSKIPPED: the comparison with GNU parallel, which is not installed \
              (apt-get install parallel)\n",
        );
        return;
    }
    let scratch = Scratch::new();
    let mut differences = Vec::new();
    for case in &CASES {
        let shown = format!("{} {:?} < {:?}", case.options, case.words, case.stdin);
        let mut theirs = Command::new("parallel");
        // Both use the same shell, and the citation notice is suppressed.
        theirs.current_dir(scratch.path()).env("PARALLEL_SHELL", "/bin/sh").arg("--will-cite");
        let theirs = run(theirs, case);
        let their_log = joblog(&scratch);
        let mut ours = Command::new(SUPERVISOR);
        ours.current_dir(scratch.path()).args(["each", "--grace", "1s"]);
        if case.shell {
            ours.arg("--shell");
        }
        let ours = run(ours, case);
        let our_log = joblog(&scratch);
        if ours.stdout != theirs.stdout {
            let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
            differences.push(format!("{shown}: {:?}, not {:?}", text(&ours), text(&theirs)));
        }
        differences.extend(compare_ends(case, &shown, &ours, &theirs));
        differences.extend(compare_logs(&shown, &our_log, &their_log));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn compare_ends(case: &Case, shown: &str, ours: &Output, theirs: &Output) -> Option<String> {
    let expected = match theirs.status.code() {
        // The run was stopped early, before it had what it was for.
        Some(1..) if case.options.contains("--halt") => Some(3),
        Some(1..=101) => Some(1),
        code => code,
    };
    let stderr = String::from_utf8_lossy(&ours.stderr);
    let differs = ours.status.code() != expected;
    differs.then(|| format!("{shown}: {}, not {expected:?}: {stderr}", ours.status))
}

fn compare_logs(shown: &str, ours: &[[String; 4]], theirs: &[[String; 4]]) -> Option<String> {
    let is_same = |our: &[String; 4], [seq, exit, signal, command]: &[String; 4]| {
        let exit = match signal.as_str() {
            "0" => exit.clone(),
            number => (128 + number.parse::<u32>().unwrap()).to_string(),
        };
        // Each program quotes in its own way, and blanks around a command do not matter.
        let is_plain = |text: &str| !text.contains(['\\', '\'', '"', '$', '\n']);
        let is_quoted = !is_plain(command) || !is_plain(&our[3]);
        our[..3] == [seq.clone(), exit, signal.clone()]
            && (is_quoted || our[3].trim() == command.trim())
    };
    let same = ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(o, t)| is_same(o, t));
    (!same).then(|| format!("{shown}: joblog {ours:?}, not {theirs:?}"))
}
