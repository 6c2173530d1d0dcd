//! Memory limits: the kernel stops a process by its private memory, the supervisor by the memory of
//! the whole process tree.

use std::{path::Path, process::Command};

use crate::support::{Run, Signal, Value, fixture, jobs::causes, load, procfs, until};

/// The MiB that the bomb has touched.
fn touched(file: &Path) -> u64 {
    let bytes = std::fs::read(file).unwrap();
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

#[test]
fn a_memory_bomb_is_stopped_near_its_limit() {
    let _quiet = load::quiet();
    is_stopped_near_its_limit("private", "SIGABRT", "");
    // A process of the tree that reached the limit of the kernel alone would end by itself.
    is_stopped_near_its_limit("children", "SIGKILL", "data=unlimited,");
    is_stopped_near_its_limit("shared", "SIGKILL", "");
}

fn is_stopped_near_its_limit(mode: &str, signal: &str, limits: &str) {
    // Measured: at most 35 MiB over the limit on an idle machine and 71 on a busy one. Without a
    // limit it would be 700.
    is_stopped_below(400, mode, signal, limits);
}

/// Returns how long the program lived, in milliseconds.
fn is_stopped_below(mib: u64, mode: &str, signal: &str, limits: &str) -> f64 {
    let run = Run::of([&fixture("bomb"), mode, "2000", "touched"]);
    let file = run.scratch.file("touched", [0; 8], 0o644);
    let run = run.with(&format!("--memory 100M --limit {limits}core=0")).jsonl().start();
    let ended = run.stdout.record("ended", 1, 1);
    let verdict = (&ended["cause"], &ended["certainty"]);
    assert_eq!(verdict, (&"memory".into(), &"sure".into()), "{mode}: {ended}");
    assert_eq!(ended["signal"], signal, "{mode}");
    let touched = touched(&file);
    assert!((90..=mib).contains(&touched), "{mode} touched {touched} MiB");
    let peak_mib = ended["peak_bytes"].as_u64().unwrap() >> 20;
    assert!((90..=mib).contains(&peak_mib), "{mode}: {peak_mib} MiB");
    assert_eq!(run.finish().code(), Some(1));
    ended["wall_ms"].as_f64().unwrap()
}

#[test]
fn a_zombie_does_not_switch_the_memory_limit_off() {
    let _quiet = load::quiet();
    is_stopped_near_its_limit("zombie", "SIGKILL", "");
}

#[test]
fn a_process_that_has_ended_its_first_thread_does_not_escape_the_limit() {
    let _quiet = load::quiet();
    is_stopped_near_its_limit("headless", "SIGKILL", "");
}

#[test]
fn a_file_in_memory_counts_as_memory() {
    let _quiet = load::quiet();
    is_stopped_near_its_limit("file", "SIGKILL", "");
}

#[test]
fn the_input_of_a_command_does_not_count_as_its_memory() {
    let run = Run::each(["sh", "-c", "sleep 1; wc -c"]).with("-j 1 --memory 24M --stdin -a jobs");
    run.scratch.file("jobs", vec![b'x'; 32 << 20], 0o644);
    assert_eq!(run.finish().stdout_text().trim(), (32 << 20).to_string());
}

#[test]
fn processes_that_never_rest_do_not_escape_the_limit() {
    let _quiet = load::quiet();
    // They compete with the supervisor for the processors, so what they reach depends on the
    // scheduler. If samples that meet births and ends were never believed, they would live for ever.
    let lived_ms = is_stopped_below(2000, "restless", "SIGKILL", "");
    assert!(lived_ms < 8000.0, "{lived_ms} ms");
}

#[test]
fn a_process_between_vfork_and_exec_does_not_count_twice() {
    // The processor time that a sample may take sets how many of these moments are sampled.
    let run = Run::of([&fixture("bomb"), "spawner", "60"]).with("-w 2 --memory 100M").jsonl();
    let run = run.finish();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
}

#[test]
fn shared_memory_counts_once() {
    let run = Run::of([&fixture("bomb"), "sharers", "80", "touched"]);
    let file = run.scratch.file("touched", [0; 8], 0o644);
    let run = run.with("--memory 100M").jsonl().start();
    // Eight processes have 80 MiB resident each.
    until("all have read it", || touched(&file) == 80 + 8);
    let pid = run.first_pids(1)[0];
    let is_large = |pid: &i32| procfs::status_kib(*pid, "VmRSS") > 80 << 10;
    until("it is large", || {
        procfs::descendants(pid).iter().filter(|pid| is_large(pid)).count() == 8
    });
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    assert_eq!(run.records("ended")[0]["cause"], "shutdown", "{}", run.stderr);
}

#[test]
fn a_job_over_the_memory_limit_alone_is_charged() {
    // The children of the second job together exceed the limit.
    let bomb = format!("sh {} children 2000", fixture("bomb"));
    let run = Run::worker("work").with("--workers 1 --memory 100M --limit data=unlimited");
    let run = run.with("--depth 8").jsonl();
    let run = run.given(["a", &bomb, "b", "c"]).finish();
    let jobs = run.jobs();
    let is_ok = |nth: usize| jobs[nth]["status"] == "ok";
    assert!(is_ok(0) && is_ok(2) && is_ok(3), "{jobs:?}");
    assert_eq!(causes(&jobs[1]), vec![Value::from("memory"); 2]);
}

#[test]
fn a_command_over_the_memory_limit_dies_without_its_launcher() {
    let bomb = fixture("bomb");
    // A process of the tree that reached the limit of the kernel alone would end by itself.
    let run = Run::each_sh("{}").with("-j 1 --memory 100M --limit data=unlimited").jsonl();
    let scripts = ["echo a".to_owned(), format!("{bomb} children 2000; true"), "echo b".into()];
    let run = run.given(scripts).finish();
    let jobs = run.jobs();
    assert_eq!(causes(&jobs[1]), [Value::from("memory")]);
    assert_eq!((&jobs[0]["status"], &jobs[2]["status"]), (&"ok".into(), &"ok".into()));
    assert!(jobs[1]["attempts"][0]["peak_bytes"].as_u64().unwrap() > 90 << 20, "{}", jobs[1]);
    assert_eq!(run.records("started").len(), 1);
}

/// A language runtime: how it prints hello, how it exhausts memory, and the options that it needs
/// below 256 MiB.
struct Runtime {
    name: &'static str,
    program: &'static [&'static str],
    small: &'static [&'static str],
    hello: &'static str,
    bomb: &'static str,
}

const RUNTIMES: [Runtime; 5] = [
    Runtime {
        name: "python3",
        program: &["python3", "-c"],
        small: &[],
        hello: "print('hello')",
        bomb: "all = []\nwhile True: all.append(bytearray(1 << 20))",
    },
    Runtime {
        name: "node",
        program: &["node", "-e"],
        small: &[],
        hello: "console.log('hello')",
        bomb: "let all = []; for (;;) all.push(new Array(1000).fill({}))",
    },
    Runtime {
        name: "node",
        program: &["node", "-e"],
        small: &[],
        hello: "console.log('hello')",
        bomb: "let all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1))",
    },
    Runtime {
        name: "node",
        program: &["node", "-e"],
        small: &[],
        hello: "console.log('hello')",
        bomb: "let all = []; for (;;) { let m = new WebAssembly.Memory({initial: 160, maximum: 160}); \
               new Uint8Array(m.buffer).fill(1); all.push(m) }",
    },
    Runtime {
        name: "java",
        program: &["java"],
        small: &["-Xmx128m"],
        hello: "Hello.java",
        bomb: "Bomb.java",
    },
];

const HELLO_JAVA: &str = "class Hello { public static void main(String[] args) { \
                          System.out.println(\"hello\"); } }";
const BOMB_JAVA: &str = "class Bomb { public static void main(String[] args) { \
                         var all = new java.util.ArrayList<byte[]>(); \
                         for (;;) all.add(new byte[1 << 20]); } }";
const C: &str = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n\
                 int main(int count, char **args) { if (args[1][0] == 'h') return puts(\"hello\") < 0; \
                 for (;;) { char *piece = malloc(1 << 20); \
                 if (!piece) { perror(\"malloc\"); return 1; } memset(piece, 1, 1 << 20); } }";

fn says_hello(argv: &[&str], memory: &str) {
    let run = Run::of(argv).with("--memory").with(memory).finish();
    assert_eq!((run.lines()[0], run.code()), ("[1] hello", Some(0)), "{argv:?}: {}", run.stderr);
}

fn runs_out(argv: &[&str], memory: &str) {
    let run = Run::of(argv).with("--limit core=0 --memory").with(memory).jsonl();
    run.scratch.file("Bomb.java", BOMB_JAVA, 0o644);
    let log = run.scratch.path().to_owned();
    let mut run = run.start();
    until("its end", || run.has_ended());
    // Java leaves an error report.
    for entry in std::fs::read_dir(log).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("hs_err_pid") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let run = run.finish();
    assert_eq!(run.records("ended")[0]["cause"], "memory", "{argv:?}: {}", run.stdout_text());
}

#[test]
fn every_runtime_starts_and_runs_out_of_memory_under_a_limit() {
    let _busy = load::busy();
    for Runtime { name, program, small, hello, bomb } in RUNTIMES {
        if Command::new(name).arg("--version").output().is_err() {
            eprintln!("SKIPPED: {name} is not here");
            continue;
        }
        let argv = |options: &[&'static str], what| -> Vec<&str> {
            let (program, rest) = program.split_first().unwrap();
            [*program].iter().chain(options).chain(rest).copied().chain([what]).collect()
        };
        let hello_run = |argv: &[&str], memory: &str| {
            let run = Run::of(argv).with("--memory").with(memory);
            run.scratch.file("Hello.java", HELLO_JAVA, 0o644);
            let run = run.finish();
            assert_eq!(
                (run.lines()[0], run.code()),
                ("[1] hello", Some(0)),
                "{argv:?}: {}",
                run.stderr
            );
        };
        hello_run(&argv(&[], hello), "1G");
        hello_run(&argv(small, hello), "256M");
        runs_out(&argv(small, bomb), "256M");
        runs_out(&argv(&[], bomb), "1G");
    }
    says_hello(&["sh", "-c", "echo hello"], "256M");
    runs_out(&[&fixture("leak")], "256M");
    let place = crate::support::files::Scratch::new();
    let (source, program) = (place.file("c.c", C, 0o644), place.path().join("c"));
    assert!(Command::new("cc").arg("-o").args([&program, &source]).status().unwrap().success());
    let program = program.to_str().unwrap();
    says_hello(&[program, "hello"], "256M");
    runs_out(&[program, "bomb"], "256M");
}

#[test]
fn a_lowered_oom_score_does_not_escape_the_limit() {
    let script =
        format!("echo -1000 > /proc/self/oom_score_adj; exec {} shared 2000", fixture("bomb"));
    let run = Run::sh(&script).with("--memory 100M").jsonl().finish();
    assert_eq!(run.records("ended")[0]["cause"], "memory", "{}", run.stdout_text());
}
