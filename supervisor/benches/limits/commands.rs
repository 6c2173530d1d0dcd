//! Measures the cost of one process per job, beside the minimum that the system allows, and beside
//! `xargs` and GNU parallel.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use pool::{
    rules::{JobRules, Prefetch, Recycle, Restart, RetryOn, Roll},
    signal::Signal,
};
use process::{KillScope, Program, warden};
use supervisor::{
    run::run,
    settings::{
        Capture, CommandSettings, JobSource, Jobs, Output, Progress, Separator, Settings, Wire,
        Workers,
    },
    template::{Reading, Template},
};

use super::{
    Limit,
    command::{Live, Ran, Workspace},
    memory,
    table::{Goal, ROUNDS, Table, Turns, mebibytes, micros, rate},
};

/// The argument with which the benchmark becomes a supervisor with ballast.
pub(crate) const BALLAST_WORD: &str = "with-ballast";

const TRUE: &str = "/bin/true";
const MANY: usize = 10_000;
const LIMITS: &str = "as=1G,core=0";
/// Largest CPU time per command above the reference, in seconds.
const ABOVE_MAX: f64 = 40e-6;
/// A program that ends at once and needs no loader and no library.
const NOTHING: &str = r#"
void _start(void) {
#if defined(__x86_64__)
    __asm__ volatile("syscall" : : "a"(60), "D"(0));
#else
    register long number __asm__("x8") = 93, code __asm__("x0") = 0;
    __asm__ volatile("svc 0" : : "r"(number), "r"(code));
#endif
    __builtin_unreachable();
}
"#;

pub(crate) fn commands(workspace: &Workspace, table: &mut Table) {
    const COUNT: usize = 3000;
    beside_limit(workspace, table, COUNT, TRUE, 0.95);
    let Some(program) = nothing(workspace) else {
        return table.skip("a program without a library", "it does not compile");
    };
    // `true` itself takes most of its time; with this program, starting it does.
    let program = program.to_str().unwrap();
    beside_limit(workspace, table, MANY, program, 0.8);
    let xargs = format!("seq {MANY} | xargs -P2 -n1 {program}");
    beside_peer(workspace, table, "xargs", (program, &xargs, MANY), 1.6);
    let parallel = format!("seq 300 | parallel --will-cite -j2 {program}");
    beside_peer(workspace, table, "parallel", (program, &parallel, 300), 11.0);
}

/// Measures commands while the supervisor's process has 1 GiB of resident memory.
pub(crate) fn ballast(workspace: &Workspace, table: &mut Table) {
    const COUNT: usize = 2000;
    // The program prints the duration of the run alone, so that filling the memory does not count.
    let with = |bytes: usize| {
        let mut command = Command::new(env::current_exe().unwrap());
        workspace.run(command.arg(BALLAST_WORD).arg(bytes.to_string()).arg(workspace.lines(COUNT)));
        COUNT as f64 / workspace.stdout().trim().parse::<f64>().expect("a time")
    };
    let mut turns = Turns::default();
    for _ in 0..ROUNDS {
        turns.push(with(1 << 30), with(0));
    }
    let goal = Goal::AtLeast(0.9, "of the same without");
    table.row("2000 x /bin/true, 1 GiB in the supervisor", &turns, rate, &goal);
}

/// Measures whether the supervisor's memory grows with the number of commands.
pub(crate) fn million(workspace: &Workspace, table: &mut Table) {
    let Some(program) = nothing(workspace) else {
        return table.skip("a million commands: memory", "there is no C compiler");
    };
    let mut command = workspace.each(&["--output", "none"], program.to_str().unwrap());
    let mut run = Live::start(command.stdin(Stdio::piped()).stdout(Stdio::null()));
    let mut input = run.0.stdin.take().unwrap();
    let lines = fs::File::open(workspace.lines(1_000_000)).unwrap();
    memory::feed(&lines, &mut input, 100_000);
    let early = memory::status(&run, "VmRSS");
    memory::feed(&lines, &mut input, 900_000);
    let late = memory::status(&run, "VmRSS");
    drop(input);
    assert!(run.succeeds(), "the run succeeds");
    let mut turns = Turns::default();
    turns.push(late, early);
    let goal = Goal::AtMost(1.2, "of that after 100 k");
    table.row("a million commands: memory", &turns, mebibytes, &goal);
}

fn beside_limit(workspace: &Workspace, table: &mut Table, count: usize, program: &str, least: f64) {
    let jobs = count as f64;
    let [mut rates, mut cpu] = <[Turns; 2]>::default();
    for _ in 0..ROUNDS {
        let measured = each(workspace, count, program);
        let (reference, ran) = Limit::Spawn(count, program).measure(workspace);
        rates.push(jobs / measured.wall, reference);
        cpu.push((measured.cpu - ran.cpu).max(0.0) / jobs, ABOVE_MAX);
    }
    let name = Path::new(program).file_name().unwrap().to_string_lossy();
    let name = format!("{count} x {name}, 2 at a time, limits, joblog");
    table.row(&name, &rates, rate, &Goal::AtLeast(least, "of a vfork loop"));
    let goal = Goal::AtMost(1.0, "of 40 us");
    table.row("  CPU per job above the loop's, all processes", &cpu, micros, &goal);
}

/// Measures `count` commands that another tool runs, if it is installed.
fn beside_peer(
    workspace: &Workspace,
    table: &mut Table,
    tool: &str,
    (program, script, count): (&str, &str, usize),
    least: f64,
) {
    let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        return table.skip(&format!("  beside {tool}"), &format!("there is no {tool}"));
    }
    let mut turns = Turns::default();
    for _ in 0..ROUNDS {
        let measured = MANY as f64 / each(workspace, MANY, program).wall;
        let peer = workspace.run(Command::new("sh").args(["-c", script])).wall;
        turns.push(measured, count as f64 / peer);
    }
    table.row(&format!("  beside {tool}"), &turns, rate, &Goal::AtLeast(least, "of it"));
}

/// Runs `supervisor each` for `count` inputs, two at a time, with limits, captured output and a joblog.
fn each(workspace: &Workspace, count: usize, program: &str) -> Ran {
    let log = workspace.path("joblog");
    let options = ["--limit", LIMITS, "--joblog", log.to_str().unwrap(), "-a"];
    let input = workspace.lines(count);
    let options = [&options[..], &[input.to_str().unwrap()]].concat();
    let ran = workspace.run(&mut workspace.each(&options, program));
    assert_eq!(workspace.tally(), Some((count, count)), "all jobs are done");
    ran
}

fn nothing(workspace: &Workspace) -> Option<PathBuf> {
    let (source, program) = (workspace.path("nothing.c"), workspace.path("nothing"));
    if !program.exists() {
        fs::write(&source, NOTHING).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-static", "-nostdlib", "-o"]).arg(&program).arg(&source);
        let compiled = compiler.stderr(Stdio::null()).status();
        compiled.ok().filter(std::process::ExitStatus::success)?;
    }
    Some(program)
}

/// Runs a supervisor in this process, with the given number of bytes resident, that runs `true` for
/// each line of a file. Prints the duration of the run in seconds.
pub(crate) fn run_with_ballast(words: &[String]) {
    let ward = warden::split(true, None).expect("a warden");
    let ballast = vec![1u8; words[0].parse().unwrap()];
    let all = RetryOn { error: true, panic: true, timeout: true };
    let reading = Reading { shell: false, replace: None, inputs: 1, append: true };
    let commands = CommandSettings {
        template: Template::read(&[TRUE.into()], reading).unwrap(),
        grace: Duration::from_secs(1),
        stop_signal: Signal::TERM,
        kill_scope: KillScope::Tree,
        stdin: false,
        capture: Capture::Keep { bytes_max: None },
    };
    let rules = JobRules {
        retries: 0,
        retry_delay: Duration::ZERO,
        retry_on: all,
        crash_retries: 1,
        repeats: pool::rules::Repeats::Allowed,
        timeout: None,
        deadline: None,
        prefetch: Prefetch::Ahead,
        delay: Duration::ZERO,
        halt: None,
        start_timeout: Duration::from_secs(30),
        recycle: Recycle::default(),
    };
    let settings = Settings {
        program: Program {
            argv: vec![TRUE.into()],
            env: env::vars_os().collect(),
            directory: None,
            limits: LIMITS.parse().unwrap(),
        },
        workers: "2".parse::<Workers>().unwrap(),
        restart: Restart::Always,
        intensity: pool::rules::Intensity::default(),
        roll: Roll::StartFirst,
        grace: Duration::from_secs(2),
        stop_signal: Signal::TERM,
        kill_scope: KillScope::Tree,
        output: Output::None,
        jobs: Some(Jobs {
            journal: None,
            source: JobSource::File(words[1].clone().into()),
            separator: Separator::Newline,
            keep_order: false,
            progress: Progress::None,
            wire: Wire::Frames,
            frame_bytes_max: 64 << 20,
            rules,
            commands: Some(commands),
        }),
        reports: Vec::new(),
        serve: None,
        name: None,
        notify: None,
    };
    let began = std::time::Instant::now();
    run(&settings, ward).expect("a run");
    println!("{}", began.elapsed().as_secs_f64());
    assert!(ballast.iter().all(|byte| *byte == 1));
}
