//! What does a process for each job cost, beside the least that the system allows, and beside
//! what people use for it?

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
        Capture, CommandSettings, JobSource, Jobs, Output, Progress, Separator, Settings, Workers,
    },
    template::{Reading, Template},
};

use super::{
    Limit,
    command::{Live, Place, Ran},
    memory,
    table::{Goal, ROUNDS, Table, Turns, mebibytes, micros, rate},
};

/// The word by which the benchmark is a supervisor with ballast.
pub(crate) const HEAVY: &str = "heavy";

const TRUE: &str = "/bin/true";
const MANY: usize = 10_000;
const LIMITS: &str = "as=1G,core=0";
/// What is spent on a command above the reference.
const ABOVE_MAX: f64 = 40e-6;
/// A program that ends at once, without a loader or a library.
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

pub(crate) fn commands(place: &Place, table: &mut Table) {
    const COUNT: usize = 3000;
    beside_limit(place, table, COUNT, TRUE, 0.95);
    let Some(program) = nothing(place) else {
        return table.skip("a program without a library", "it does not compile");
    };
    // Most of what `true` takes is its own; here it is what starts it.
    let program = program.to_str().unwrap();
    beside_limit(place, table, MANY, program, 0.8);
    let xargs = format!("seq {MANY} | xargs -P2 -n1 {program}");
    beside_peer(place, table, "xargs", (program, &xargs, MANY), 1.6);
    let parallel = format!("seq 300 | parallel --will-cite -j2 {program}");
    beside_peer(place, table, "parallel", (program, &parallel, 300), 11.0);
}

/// With 1 GiB resident in the supervisor's process.
pub(crate) fn ballast(place: &Place, table: &mut Table) {
    const COUNT: usize = 2000;
    // It says how long the run took: filling the memory is not what is measured.
    let with = |bytes: usize| {
        let mut command = Command::new(env::current_exe().unwrap());
        place.run(command.arg(HEAVY).arg(bytes.to_string()).arg(place.lines(COUNT)));
        COUNT as f64 / place.said().trim().parse::<f64>().expect("a time")
    };
    let mut turns = Turns::default();
    for _ in 0..ROUNDS {
        turns.push(with(1 << 30), with(0));
    }
    let goal = Goal::AtLeast(0.9, "of the same without");
    table.row("2000 x /bin/true, 1 GiB in the supervisor", &turns, rate, &goal);
}

/// Does its memory grow with the number of commands?
pub(crate) fn million(place: &Place, table: &mut Table) {
    let Some(program) = nothing(place) else {
        return table.skip("a million commands: memory", "there is no compiler");
    };
    let mut command = place.each(&["--output", "none"], program.to_str().unwrap());
    let mut run = Live::start(command.stdin(Stdio::piped()).stdout(Stdio::null()));
    let mut input = run.0.stdin.take().unwrap();
    let lines = fs::File::open(place.lines(1_000_000)).unwrap();
    memory::feed(&lines, &mut input, 100_000);
    let early = memory::status(&run, "VmRSS");
    memory::feed(&lines, &mut input, 900_000);
    let late = memory::status(&run, "VmRSS");
    drop(input);
    assert!(run.ends_well(), "the run ends well");
    let mut turns = Turns::default();
    turns.push(late, early);
    let goal = Goal::AtMost(1.2, "of that after 100 k");
    table.row("a million commands: memory", &turns, mebibytes, &goal);
}

fn beside_limit(place: &Place, table: &mut Table, count: usize, program: &str, least: f64) {
    let jobs = count as f64;
    let [mut rates, mut cpu] = <[Turns; 2]>::default();
    for _ in 0..ROUNDS {
        let ours = each(place, count, program);
        let (reference, ran) = Limit::Spawn(count, program).measure(place);
        rates.push(jobs / ours.wall, reference);
        cpu.push((ours.cpu - ran.cpu).max(0.0) / jobs, ABOVE_MAX);
    }
    let name = Path::new(program).file_name().unwrap().to_string_lossy();
    let name = format!("{count} x {name}, 2 at a time, limits, joblog");
    table.row(&name, &rates, rate, &Goal::AtLeast(least, "of a vfork loop"));
    let goal = Goal::AtMost(1.0, "of 40 us");
    table.row("  CPU per job above the loop's, all processes", &cpu, micros, &goal);
}

/// A script that runs so many commands in some other way.
fn beside_peer(
    place: &Place,
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
        let ours = MANY as f64 / each(place, MANY, program).wall;
        let theirs = place.run(Command::new("sh").args(["-c", script])).wall;
        turns.push(ours, count as f64 / theirs);
    }
    table.row(&format!("  beside {tool}"), &turns, rate, &Goal::AtLeast(least, "of it"));
}

/// As many inputs, two at a time, with limits set, output captured and a joblog written.
fn each(place: &Place, count: usize, program: &str) -> Ran {
    let log = place.path("joblog");
    let options = ["--limit", LIMITS, "--joblog", log.to_str().unwrap(), "-a"];
    let input = place.lines(count);
    let options = [&options[..], &[input.to_str().unwrap()]].concat();
    let ran = place.run(&mut place.each(&options, program));
    assert_eq!(place.tally(), Some((count, count)), "all jobs are done");
    ran
}

fn nothing(place: &Place) -> Option<PathBuf> {
    let (source, program) = (place.path("nothing.c"), place.path("nothing"));
    if !program.exists() {
        fs::write(&source, NOTHING).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-static", "-nostdlib", "-o"]).arg(&program).arg(&source);
        let compiled = compiler.stderr(Stdio::null()).status();
        compiled.ok().filter(std::process::ExitStatus::success)?;
    }
    Some(program)
}

/// A supervisor in this process, which holds so much memory, that runs `true` for each line of a
/// file.
pub(crate) fn heavy(words: &[String]) {
    let ward = warden::split(true).expect("a warden");
    let ballast = vec![1u8; words[0].parse().unwrap()];
    let all = RetryOn { error: true, panic: true, timeout: true };
    let reading = Reading { shell: false, replace: None, inputs: 1, append: true };
    let commands = CommandSettings {
        template: Template::read(&[TRUE.into()], reading).unwrap(),
        grace: Duration::from_secs(1),
        stop_signal: Signal::TERM,
        kill_scope: KillScope::Tree,
        stdin: false,
        capture: Capture::Keep { bytes_max: 1 << 20 },
    };
    let rules = JobRules {
        retries: 0,
        retry_delay: Duration::ZERO,
        retry_on: all,
        crash_retries: 1,
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
