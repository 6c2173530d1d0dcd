//! A recorded run that dies, or is refused, at any one of the system calls that change a journal is
//! gone on with, and every job is accounted for.

#![cfg(feature = "journal")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    collections::BTreeMap,
    env, fmt, fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use journal::{Reader, State};
use support::{
    Finished, Run, Running, Signal, can, files::Scratch, journals::scratch, procfs, until,
};

const JOBS: usize = 200;
/// What changes a journal or what lies beside it; `openat` makes files, too.
const CALLS: [&str; 5] = ["pwrite64", "fdatasync", "ftruncate", "unlink", "openat"];
/// What would as well, and is not called.
const OTHERS: &str = "write,writev,pwritev,pwritev2,fsync,sync_file_range,truncate,fallocate,\
                      rename,renameat,renameat2,unlinkat";

/// What happens at a call in its stead.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    Killed,
    Error(&'static str, &'static str),
}

const IO_ERROR: Fault = Fault::Error("EIO", "Input/output error");
const DISK_FULL: Fault = Fault::Error("ENOSPC", "No space left on device");

/// Whose calls are counted: each thread has a count of its own.
#[derive(Clone, Copy, PartialEq, Debug)]
enum By {
    /// The main thread's, which opens the journal and begins a run in it.
    Opener,
    /// Those of the thread that writes and closes it.
    Writer,
}

/// Of which kind the run is.
#[derive(Clone, Copy, Debug)]
struct Kind {
    verb: &'static str,
    sync: &'static str,
}

/// Where a fault strikes: at the n-th call.
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

/// What became of a run at a point.
struct Struck {
    run: Finished,
    /// `None` where it was killed.
    code: Option<i32>,
    /// What strace saw, with the threads' names.
    trace: String,
}

/// A journal in a directory of its own, and what a test must know of it.
struct Place(Scratch);

impl Place {
    fn new() -> Self {
        static PLACES: AtomicU32 = AtomicU32::new(0);
        let place = Self(scratch(&format!("sweep-{}", PLACES.fetch_add(1, Ordering::Relaxed))));
        fs::create_dir(place.path("kept")).unwrap();
        place
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

    /// The run whose jobs each say in a file that they were begun.
    fn run(&self, kind: Kind) -> Run {
        let run = match kind.verb {
            "each" => Run::each(["sh", "-c", "set -- $1; echo $3 >> $2", "sh", "{}"]),
            _ => Run::worker("work"),
        };
        run.with("-w 2 --sync").with(kind.sync).jsonl().recorded(&self.journal())
    }

    /// How often each job was begun.
    fn begun(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for line in fs::read_to_string(self.path("witness")).unwrap_or_default().lines() {
            let job = line.split(' ').next().unwrap();
            *counts.entry(job.to_owned()).or_default() += 1;
        }
        counts
    }

    /// strace of the calls that concern the journal, and of none of the workers'.
    fn strace(&self, calls: &str) -> Vec<String> {
        let mut words = vec!["strace".to_owned(), "-o".into(), self.text("trace")];
        words.extend(["-y", "--decode-pids=comm", "-b", "execve", "-e"].map(str::to_owned));
        words.push(format!("trace={calls}"));
        for suffix in ["", "-wal", "-shm", "-journal", "-lock"] {
            words.extend(["-P".to_owned(), format!("{}{suffix}", self.text("kept/journal"))]);
        }
        // Which is synced, too.
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

    /// strace is put on the thread alone, before there is anything to write. It replaces the
    /// shell that started the supervisor, since not everybody may trace what is not his child.
    fn strike_writer(&self, kind: Kind, strace: &str) -> Finished {
        let [status, thread] = ["status", "thread"].map(|name| self.text(name));
        let script = format!(
            "exec 3<&0; (\"$0\" \"$@\" <&3 3<&-; echo $? > {status}) & exec 3<&- < /dev/null; \
             until test -s {thread}; do sleep 0.01; done; exec {strace} -p \"$(cat {thread})\""
        );
        let (run, mut asker) = self.run(kind).asked();
        let run = run.under(["sh", "-c", &script]).start();
        let mut writer = None;
        until("the thread that writes", || {
            writer = thread_of(&run, "journal");
            writer.is_some()
        });
        fs::write(self.path("thread.new"), writer.unwrap()).unwrap();
        fs::rename(self.path("thread.new"), thread).unwrap();
        run.stderr.until("a trace", |text| text.contains(" attached").then_some(()));
        asker.ask(self.lines().trim_end());
        drop(asker);
        run.finish()
    }

    /// The same command, with nothing in its way: in the end each job is done, and was begun no
    /// more often than there is a reason for, and told once but where it says so.
    fn go_on(&self, point: Point, struck: &Struck) {
        let run = self.run(point.kind).piped(self.lines()).finish();
        assert_eq!(run.code(), Some(0), "{point}: {}", run.stderr);
        let begun = self.begun();
        assert_eq!(begun.len(), JOBS, "{point}: jobs that were begun");
        assert!(begun.values().all(|count| *count <= 2), "{point}: {begun:?}");
        let mut told = BTreeMap::<String, [usize; 2]>::new();
        // What was not begun when the run ended is told as that, and now done.
        let before = struck.run.records("job").into_iter();
        let before = before.filter(|record| record["status"] != "not_run");
        for record in before.chain(run.records("job")) {
            assert_eq!(record["status"], "ok", "{point}: {record}");
            let count = told.entry(record["id"].to_string()).or_default();
            count[usize::from(record["redelivered"] == true)] += 1;
        }
        assert_eq!(told.len(), JOBS, "{point}: jobs that were told");
        assert!(
            told.values().all(|[fresh, again]| *fresh <= 1 && *again <= 1),
            "{point}: {told:?}"
        );
        self.is_whole(point);
        let left: Vec<_> = fs::read_dir(self.path("kept")).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "{point}: left behind: {left:?}");
    }

    /// The journal has all, as it was written.
    fn is_whole(&self, point: Point) {
        let reader = Reader::open(&self.journal()).unwrap();
        let (_, recorded) = reader.read().unwrap();
        assert_eq!(recorded.states, [State::Ok; JOBS], "{point}");
        assert_eq!(reader.verify().unwrap(), [], "{point}");
    }
}

/// The number of the thread of this name.
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
    /// The call at which it happened, and what came after it; `None` where nothing did.
    fn hit(&self, point: Point) -> Option<(&str, &str)> {
        let begins = |line: &&str| line.contains(&format!("{}(", point.call));
        let line = match point.fault {
            Fault::Killed => self.trace.lines().rfind(begins).filter(|_| self.code.is_none())?,
            // Where that was survived, another thread may be struck in its turn.
            Fault::Error(..) => self.trace.lines().find(|line| line.contains("(INJECTED)"))?,
        };
        Some((line, self.trace.split_once(line)?.1))
    }

    /// One message, with the thing, the reason and the remedy; or all is well, where nothing that
    /// was to be kept was refused.
    fn is_told(&self, place: &Place, point: Point, line: &str) {
        let Fault::Error(_, reason) = point.fault else { return };
        let said = &self.run.stderr;
        let begin = format!("supervisor: the journal {} cannot be ", place.text("kept/journal"));
        let messages: Vec<_> = said.lines().filter(|line| line.starts_with(&begin)).collect();
        assert!(!said.contains("panicked"), "{point}: {said}");
        if self.code == Some(0) {
            let is_directory = file(line, "fdatasync") == Some(&place.text("kept"));
            let is_spare = is_directory || ["unlink", "openat"].contains(&point.call);
            assert!(is_spare && messages.is_empty(), "{point}: {line}: {said}");
            return place.is_whole(point);
        }
        assert_eq!((self.code, messages.len()), (Some(5), 1), "{point}: {said}");
        let again = "run the same command again";
        assert!(
            [again, "or name another file"].iter().any(|it| messages[0].ends_with(it)),
            "{said}"
        );
        // SQLite tries to open a file in other ways as well, and then knows of the last one.
        let is_known = messages[0].matches(reason).count() == 1 || point.call == "openat";
        assert!(is_known, "{point}: {said}");
    }

    /// What could not be synced is not synced again: the kernel may have dropped it. But the file
    /// itself is, where what it was before is written into it from a rollback journal; and so is
    /// the directory, for another file that was made: SQLite goes on where that fails.
    fn is_final(&self, place: &Place, point: Point, line: &str, after: &str) {
        if point.call != "fdatasync" || point.fault == Fault::Killed {
            return;
        }
        let failed = file(line, "fdatasync").unwrap();
        if failed == place.text("kept") {
            return;
        }
        let is_again = |line| file(line, "fdatasync") == Some(failed);
        let Some(at) = after.lines().position(is_again) else { return };
        let changes = |line| ["pwrite64", "ftruncate"].map(|call| file(line, call));
        let is_changed = |line| changes(line).contains(&Some(failed));
        let is_rewritten = after.lines().take(at).any(is_changed);
        let is_itself = failed == place.text("kept/journal");
        assert!(is_itself && is_rewritten, "{point}: {line} and then\n{after}");
    }
}

/// The file that a line of a trace is about, where it is of this call.
fn file<'a>(line: &'a str, call: &str) -> Option<&'a str> {
    let (_, arguments) = line.split_once(&format!("{call}("))?;
    arguments.split(['<', '>']).nth(1)
}

/// Strikes at every n-th of these calls until there is none; how many there were.
fn sweep_calls(kind: Kind, call: &'static str, fault: Fault, by: By) -> u32 {
    for n in 1.. {
        let (place, point) = (Place::new(), Point { kind, call, fault, by, n });
        let struck = place.strike(point);
        let Some((line, after)) = struck.hit(point) else {
            assert_eq!(struck.code, Some(0), "{point}: {}", struck.run.stderr);
            return n - 1;
        };
        if by == By::Opener && line.contains("<journal> ") {
            return n - 1;
        }
        struck.is_final(&place, point, line, after);
        struck.is_told(&place, point, line);
        place.go_on(point, &struck);
    }
    0
}

fn sweep(fault: Fault) {
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
fn a_run_that_is_killed_at_any_call_is_gone_on_with() {
    sweep(Fault::Killed);
}

#[test]
fn a_run_whose_disk_fails_at_any_call_says_so_and_is_gone_on_with() {
    sweep(IO_ERROR);
}

#[test]
fn a_run_whose_disk_is_full_at_any_call_says_so_and_is_gone_on_with() {
    sweep(DISK_FULL);
}

#[test]
fn no_other_call_changes_a_journal() {
    if !can(&["strace", "-V"]) {
        return;
    }
    let place = Place::new();
    let mut strace = place.strace(OTHERS);
    strace.push("-f".into());
    let kind = Kind { verb: "run", sync: "batch" };
    let run = place.run(kind).piped(place.lines()).under(strace).finish();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    let trace = fs::read_to_string(place.path("trace")).unwrap();
    assert_eq!(trace.lines().filter(|line| line.contains('(')).count(), 0, "{trace}");
}
