//! Kills a recorded run at each system call that changes its journal, or makes the call fail, then
//! resumes the run and checks that every job is accounted for.

use std::{collections::BTreeMap, env, fmt, fs, path::PathBuf};

use crate::support::{Finished, Run, Running, Signal, Value, can, files::Scratch, procfs, until};
use journal::{Reader, State};

const JOBS: usize = 200;
/// The calls that change a journal or the files beside it; `openat` creates files, too.
const CALLS: [&str; 5] = ["pwrite64", "fdatasync", "ftruncate", "unlink", "openat"];
/// Other calls that would change a journal; SQLite must not use them.
const OTHERS: &str = "write,writev,pwritev,pwritev2,fsync,sync_file_range,truncate,fallocate,\
                      rename,renameat,renameat2,unlinkat";

/// What happens instead of the call.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    Killed,
    Error(&'static str, &'static str),
}

const IO_ERROR: Fault = Fault::Error("EIO", "Input/output error");
const DISK_FULL: Fault = Fault::Error("ENOSPC", "No space left on device");

/// The thread whose calls are counted.
#[derive(Clone, Copy, PartialEq, Debug)]
enum By {
    /// The main thread, which opens the journal and begins a run in it.
    Opener,
    /// The writer thread, which writes and closes the journal.
    Writer,
}

/// The kind of run.
#[derive(Clone, Copy, Debug)]
struct Kind {
    verb: &'static str,
    sync: &'static str,
}

/// Where the fault occurs: at the n-th such call.
#[derive(Clone, Copy, Debug)]
struct Point {
    kind: Kind,
    call: &'static str,
    fault: Fault,
    by: By,
    n: u32,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind: Kind { verb, sync }, call, fault, by, n } = self;
        write!(f, "{verb}, --sync {sync}, {fault:?} at {call} {n} of the {by:?}")
    }
}

/// How a run with a fault ended.
struct Struck {
    run: Finished,
    /// Its exit code; `None` if it was killed.
    code: Option<i32>,
    /// The output of strace, with thread names.
    trace: String,
}

/// A directory with a journal and a log that the jobs append to.
struct Workspace(Scratch);

impl Workspace {
    fn new() -> Self {
        let dir = Self(Scratch::new());
        fs::create_dir(dir.path("kept")).unwrap();
        dir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn journal(&self) -> PathBuf {
        self.path("kept/journal")
    }

    fn lines(&self) -> String {
        let witness = self.path("witness").display().to_string();
        (1..=JOBS).map(|n| format!("log {witness} job-{n}\n")).collect()
    }

    /// A run whose jobs each append a line to a file when they start.
    fn run(&self, kind: Kind) -> Run {
        let run = match kind.verb {
            "each" => Run::each(["sh", "-c", "set -- $1; echo $3 >> $2", "sh", "{}"]),
            _ => Run::worker("work"),
        };
        run.with("-w 2 --sync").with(kind.sync).jsonl().recorded(&self.journal())
    }

    /// How often each job started.
    fn begun(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for line in fs::read_to_string(self.path("witness")).unwrap_or_default().lines() {
            let job = line.split(' ').next().unwrap();
            *counts.entry(job.to_owned()).or_default() += 1;
        }
        counts
    }

    /// The strace command for calls that concern the journal; it does not trace workers.
    fn strace(&self, calls: &str) -> Vec<String> {
        let mut words = vec!["strace".to_owned(), "-o".into(), self.text("trace")];
        words.extend(["-y", "--decode-pids=comm", "-b", "execve", "-e"].map(str::to_owned));
        words.push(format!("trace={calls}"));
        for suffix in ["", "-wal", "-shm", "-journal", "-lock"] {
            words.extend(["-P".to_owned(), format!("{}{suffix}", self.text("kept/journal"))]);
        }
        // The directory is synced, too.
        words.extend(["-P".into(), self.text("kept")]);
        words
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn strike(&self, point: Point) -> Struck {
        let fault = match point.fault {
            Fault::Killed => "signal=KILL".to_owned(),
            Fault::Error(name, _) => format!("error={name}"),
        };
        let mut strace = self.strace(&format!("{},fdatasync,pwrite64,ftruncate", point.call));
        let inject = format!("inject={}:{fault}:when={}", point.call, point.n);
        strace.extend(["-e".to_owned(), inject]);
        let (code, run) = match point.by {
            By::Opener => {
                strace.push("-f".into());
                let run = self.run(point.kind).piped(self.lines()).under(strace).finish();
                (run.code(), run)
            }
            By::Writer => {
                let run = self.strike_writer(point.kind, &strace.join(" "));
                let status = fs::read_to_string(self.path("status")).unwrap();
                let code = status.trim().parse().unwrap();
                (Some(code).filter(|code| *code != 128 + Signal::SIGKILL as i32), run)
            }
        };
        let trace = fs::read_to_string(self.path("trace")).unwrap_or_default();
        Struck { run, code, trace }
    }

    /// Attaches strace to the writer thread alone, before there is anything to write. strace replaces
    /// the shell that started the supervisor, since a process may not always trace one that is not
    /// its child.
    fn strike_writer(&self, kind: Kind, strace: &str) -> Finished {
        let [status, thread] = ["status", "thread"].map(|name| self.text(name));
        let script = format!(
            "exec 3<&0; (\"$0\" \"$@\" <&3 3<&-; echo $? > {status}) & exec 3<&- < /dev/null; \
             until test -s {thread}; do sleep 0.01; done; exec {strace} -p \"$(cat {thread})\""
        );
        let (run, mut feed) = self.run(kind).fed_live();
        let run = run.under(["sh", "-c", &script]).start();
        let mut writer = None;
        until("the thread that writes", || {
            writer = thread_of(&run, "journal");
            writer.is_some()
        });
        fs::write(self.path("thread.new"), writer.unwrap()).unwrap();
        fs::rename(self.path("thread.new"), thread).unwrap();
        run.stderr.until("a trace", |text| text.contains(" attached").then_some(()));
        feed.push(self.lines().trim_end());
        drop(feed);
        run.finish()
    }

    /// Runs the same command again without a fault: every job must be done, must not have started more
    /// often than the fault explains, and must be reported once, or marked when reported again.
    fn go_on(&self, point: Point, struck: &Struck) {
        let run = self.run(point.kind).piped(self.lines()).finish();
        assert_eq!(run.code(), Some(0), "{point}: {}", run.stderr);
        let begun = self.begun();
        assert_eq!(begun.len(), JOBS, "{point}: jobs that were begun");
        assert!(begun.values().all(|count| *count <= 2), "{point}: {begun:?}");
        let mut reported = BTreeMap::<String, [usize; 2]>::new();
        // Jobs that had not started were reported as `not_run`, and are done now.
        let before = struck.run.records("job").into_iter();
        let is_final = |status: &Value| *status != "not_run" && *status != "interrupted";
        let before = before.filter(|record| is_final(&record["status"]));
        for record in before.chain(run.records("job")) {
            assert_eq!(record["status"], "ok", "{point}: {record}");
            let count = reported.entry(record["id"].to_string()).or_default();
            count[usize::from(record["redelivered"] == true)] += 1;
        }
        assert_eq!(reported.len(), JOBS, "{point}: jobs that were reported");
        assert!(
            reported.values().all(|[fresh, again]| *fresh <= 1 && *again <= 1),
            "{point}: {reported:?}"
        );
        self.is_whole(point);
        let left: Vec<_> = fs::read_dir(self.path("kept")).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "{point}: left behind: {left:?}");
    }

    /// Checks that the journal is complete and undamaged.
    fn is_whole(&self, point: Point) {
        let reader = Reader::open(&self.journal()).unwrap();
        let (_, recorded) = reader.read().unwrap();
        assert_eq!(recorded.states, [State::Ok; JOBS], "{point}");
        assert_eq!(reader.verify().unwrap(), [], "{point}");
    }
}

/// The ID of the thread with this name.
fn thread_of(run: &Running, name: &str) -> Option<String> {
    procfs::descendants(run.pid()).into_iter().find_map(|process| {
        let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?;
        let mut threads = threads.flatten();
        let thread = threads.find(|thread| {
            let found = fs::read_to_string(thread.path().join("comm"));
            found.is_ok_and(|found| found.trim_end() == name)
        })?;
        Some(thread.file_name().into_string().unwrap())
    })
}

impl Struck {
    /// The call that was hit and the trace after it; `None` if no call was hit.
    fn hit(&self, point: Point) -> Option<(&str, &str)> {
        let begins = |line: &&str| line.contains(&format!("{}(", point.call));
        let line = match point.fault {
            Fault::Killed => self.trace.lines().rfind(begins).filter(|_| self.code.is_none())?,
            // If the run survived the fault, another thread may be hit in turn.
            Fault::Error(..) => self.trace.lines().find(|line| line.contains("(INJECTED)"))?,
        };
        Some((line, self.trace.split_once(line)?.1))
    }

    /// Checks that the run printed one message with the file, the reason and the remedy, or that it
    /// succeeded because the failed call did not matter.
    fn is_reported(&self, dir: &Workspace, point: Point, line: &str) {
        let Fault::Error(_, reason) = point.fault else { return };
        let printed = &self.run.stderr;
        let begin = format!("supervisor: the journal {} cannot be ", dir.text("kept/journal"));
        let messages: Vec<_> = printed.lines().filter(|line| line.starts_with(&begin)).collect();
        assert!(!printed.contains("panicked"), "{point}: {printed}");
        if self.code == Some(0) {
            let is_directory = file(line, "fdatasync") == Some(&dir.text("kept"));
            let is_spare = is_directory || ["unlink", "openat"].contains(&point.call);
            assert!(is_spare && messages.is_empty(), "{point}: {line}: {printed}");
            return dir.is_whole(point);
        }
        assert_eq!((self.code, messages.len()), (Some(5), 1), "{point}: {printed}");
        let again = "run the same command again";
        assert!(
            [again, "or name another file"].iter().any(|it| messages[0].ends_with(it)),
            "{printed}"
        );
        // SQLite retries a failed open in other ways and reports the last error.
        let is_known = messages[0].matches(reason).count() == 1 || point.call == "openat";
        assert!(is_known, "{point}: {printed}");
    }

    /// Checks that a failed sync is not repeated, since the kernel may have dropped the data. Two syncs
    /// may follow: of the file itself after a rollback journal was written back into it, and of the
    /// directory after another file was created, whose failure SQLite ignores.
    fn is_final(&self, dir: &Workspace, point: Point, line: &str, after: &str) {
        if point.call != "fdatasync" || point.fault == Fault::Killed {
            return;
        }
        let failed = file(line, "fdatasync").unwrap();
        if failed == dir.text("kept") {
            return;
        }
        let is_again = |line| file(line, "fdatasync") == Some(failed);
        let Some(at) = after.lines().position(is_again) else { return };
        let changes = |line| ["pwrite64", "ftruncate"].map(|call| file(line, call));
        let is_changed = |line| changes(line).contains(&Some(failed));
        let is_rewritten = after.lines().take(at).any(is_changed);
        let is_itself = failed == dir.text("kept/journal");
        assert!(is_itself && is_rewritten, "{point}: {line} and then\n{after}");
    }
}

/// The file that a line of a trace concerns, if it is a line of this call.
fn file<'a>(line: &'a str, call: &str) -> Option<&'a str> {
    let (_, arguments) = line.split_once(&format!("{call}("))?;
    arguments.split(['<', '>']).nth(1)
}

/// Injects the fault at each of these calls in turn; returns how many there were.
fn sweep_calls(kind: Kind, call: &'static str, fault: Fault, by: By) -> u32 {
    for n in 1.. {
        let (dir, point) = (Workspace::new(), Point { kind, call, fault, by, n });
        let struck = dir.strike(point);
        let Some((line, after)) = struck.hit(point) else {
            assert_eq!(struck.code, Some(0), "{point}: {}", struck.run.stderr);
            return n - 1;
        };
        if by == By::Opener && line.contains("<journal> ") {
            return n - 1;
        }
        struck.is_final(&dir, point, line, after);
        struck.is_reported(&dir, point, line);
        dir.go_on(point, &struck);
    }
    0
}

fn sweep(fault: Fault) {
    let _busy = crate::support::load::busy();
    if !can(&["strace", "-V"]) {
        return;
    }
    let one = [Kind { verb: "run", sync: "batch" }];
    let all = [("run", "always"), ("run", "off"), ("each", "batch"), ("each", "always")];
    let more = all.map(|(verb, sync)| Kind { verb, sync });
    let is_long = env::var_os("SWEEP_ALL").is_some();
    for kind in one.into_iter().chain(more.into_iter().filter(|_| is_long)) {
        for call in CALLS {
            let [opener, writer] =
                [By::Opener, By::Writer].map(|by| sweep_calls(kind, call, fault, by));
            let Kind { verb, sync } = kind;
            println!("{verb}, --sync {sync}, {fault:?}: {call}: {opener} + {writer} points");
            let is_called = writer > 0 || (sync, call) == ("off", "fdatasync");
            assert!(opener > 0 && is_called, "{call} is not called");
        }
    }
}

#[test]
fn a_run_killed_at_any_journal_call_resumes() {
    sweep(Fault::Killed);
}

#[test]
fn a_run_with_an_io_error_at_any_journal_call_reports_it_and_resumes() {
    sweep(IO_ERROR);
}

#[test]
fn a_run_with_a_full_disk_at_any_journal_call_reports_it_and_resumes() {
    sweep(DISK_FULL);
}

#[test]
fn no_other_system_call_changes_a_journal() {
    if !can(&["strace", "-V"]) {
        return;
    }
    let dir = Workspace::new();
    let mut strace = dir.strace(OTHERS);
    strace.push("-f".into());
    let kind = Kind { verb: "run", sync: "batch" };
    let run = dir.run(kind).piped(dir.lines()).under(strace).finish();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    let trace = fs::read_to_string(dir.path("trace")).unwrap();
    // The lock file is removed below its directory.
    let is_lock = |line: &&str| line.contains("unlinkat(") && line.contains("\"journal-lock\"");
    let others = trace.lines().filter(|line| line.contains('(') && !is_lock(line));
    assert_eq!(others.count(), 0, "{trace}");
}
