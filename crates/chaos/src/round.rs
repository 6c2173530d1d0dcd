//! A round: one input and one journal, run again and again until every job is settled.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    Fault,
    books::Books,
    disk::Disk,
    disturb::{Disturbance, Struck},
    journal,
    judge::{Kind, Violation, explains},
    plan::{Ending, OnDisk, Plan},
    planted::Planted,
    random::Random,
    reader::{self, Output, Pace},
    reported,
    running::{End, Running},
    tally::Tally,
    witness,
};

/// The environment variable that marks all descendants of a run.
pub(crate) const MARK: &str = "CHAOS_RUN";
/// The command line of the daemons that jobs leave behind.
const DAEMON: &str = "sleep 600";
/// The largest clock step in seconds: 100 days.
const CLOCK_STEP_MAX: u64 = 8_640_000;

/// The conditions that all rounds share.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) supervisor: PathBuf,
    pub(crate) disk: Option<Disk>,
    /// Whether a run can have its own monotonic clock.
    pub(crate) has_clocks: bool,
}

/// A round in progress.
pub(crate) struct Round<'a> {
    ground: &'a Ground,
    tally: &'a mut Tally,
    directory: &'a Path,
    plan: Plan,
    random: Random,
    books: Books,
    violations: Vec<Violation>,
}

impl<'a> Round<'a> {
    pub(crate) fn new(
        seed: u64,
        ground: &'a Ground,
        directory: &'a Path,
        tally: &'a mut Tally,
    ) -> Self {
        let plan = Plan::new(seed, ground.disk.is_some());
        let random = Random::new(!seed);
        let books = Books { rules: plan.rules, ..Books::default() };
        Self { ground, tally, directory, plan, random, books, violations: Vec::new() }
    }

    /// Plays the round to its end. `goes_on` returns whether there is time for more harm.
    pub(crate) fn play(
        mut self,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<(Books, Vec<Violation>), Fault> {
        fs::create_dir(self.directory)?;
        File::create(self.witness())?;
        let jobs = std::mem::take(&mut self.plan.jobs);
        self.submit(jobs)?;
        let mut ends = std::mem::take(&mut self.plan.ends).into_iter();
        loop {
            let ending = ends.next().filter(|_| goes_on());
            let is_over = self.run(ending, goes_on)?;
            self.verify()?;
            if is_over || !self.violations.is_empty() {
                break;
            }
            self.alter_input()?;
        }
        self.books.witnessed = witness::read(&self.witness())?;
        // A round that was broken off may have no journal.
        if self.violations.is_empty() {
            self.books.journal = journal::read(&self.journal())?;
        } else {
            self.books.journal = journal::read(&self.journal()).unwrap_or_default();
        }
        if let Some(disk) = &self.ground.disk {
            disk.empty(self.directory)?;
        }
        Ok((self.books, self.violations))
    }

    /// Runs the supervisor once. Returns whether the run settled every job and ended by itself.
    fn run(
        &mut self,
        ending: Option<(Duration, Ending)>,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<bool, Fault> {
        let disk = self.ground.disk.as_ref();
        if let Some(disk) = disk.filter(|_| !matches!(ending, Some((_, Ending::StayFull)))) {
            disk.relieve()?;
        }
        self.books.starts += 1;
        let mut running = self.start()?;
        let input = self.input();
        let mut disturbance = Disturbance::new(&mut self.random, self.tally, disk, &input, ending);
        let struck = disturbance.run(&mut running, goes_on)?;
        let signals = std::mem::take(&mut disturbance.signals);
        // A daemon survives if the warden and the supervisor are killed at the same moment.
        let survives =
            |process: &str| struck.by == Some(Ending::KillBoth) && process.ends_with(DAEMON);
        let left = running.left(survives);
        let output = running.finish()?;
        self.books.reported.extend(reported::read(&output)?);
        let crashed = signals.iter().any(|(_, signal)| explains(*signal, "signal"));
        self.books.signals.extend(signals);
        self.judge_conduct(&struck, crashed, &left)?;
        // A run with a part of the input may have ended well.
        Ok(struck.by != Some(Ending::CutInput) && matches!(struck.end, Some(End::Code(0 | 1))))
    }

    /// Checks that the run ended as it should. `crashed` says that this program made workers crash.
    fn judge_conduct(
        &mut self,
        struck: &Struck,
        crashed: bool,
        left: &[String],
    ) -> Result<(), Fault> {
        let stderr = fs::read_to_string(self.stderr())?;
        let reports_full_disk = || stderr.contains("No space left on device");
        let is_meant = match (struck.by, struck.end) {
            (_, Some(End::Code(code @ (0 | 1)))) => code == self.status()?,
            // The first workers crashed before their hello, like a program that is not a worker.
            (_, Some(End::Code(2))) => crashed && stderr.contains("without speaking the worker"),
            (Some(Ending::FillDisk | Ending::StayFull), Some(End::Code(5))) => reports_full_disk(),
            (Some(Ending::CutInput), Some(End::Code(125))) => stderr.contains("truncated"),
            (Some(Ending::Terminate), Some(End::Signal(signal))) => signal == 15,
            (
                Some(Ending::KillSupervisor | Ending::KillWarden | Ending::KillBoth),
                Some(End::Signal(signal)),
            ) => signal == 9,
            _ => false,
        };
        if is_meant {
            if let Some(by) = struck.by {
                self.tally.see(by.name());
            }
        } else {
            let by = struck.by.map_or("nothing", Ending::name);
            self.misconduct(format!(
                "it ended as {:?} after {by}; its stderr: {stderr}",
                struck.end
            ));
        }
        for left in left {
            self.misconduct(format!("it left a process behind: {left}"));
        }
        Ok(())
    }

    /// The exit status of a run that settled every job: 1 if a job failed, otherwise 0.
    fn status(&self) -> Result<i32, Fault> {
        let journal = journal::read(&self.journal())?;
        let is_bad = |settles: &str| settles != "ok";
        let mut settled = journal.attempts.iter().filter_map(|attempt| attempt.settles.as_deref());
        Ok(settled.any(is_bad).into())
    }

    fn misconduct(&mut self, what: String) {
        self.violations.push(Violation { kind: Kind::Conduct, job: None, what });
    }

    fn start(&mut self) -> Result<Running, Fault> {
        let mark = format!("{}-{}", std::process::id(), self.directory.display());
        let stderr = File::create(self.stderr())?;
        let mut command = self.command();
        command.args(["run", "--jobs-from"]).arg(self.input());
        command.arg("--journal").arg(self.journal()).args(&self.plan.options);
        command.arg("--").arg(env::current_exe()?).arg("worker").arg(self.witness());
        // A backtrace needs more memory than a worker may use.
        command.env("RUST_BACKTRACE", "0");
        command.env(MARK, &mark).stdin(Stdio::null()).stderr(stderr);
        let mark = format!("{MARK}={mark}");
        if self.plan.on_disk == Some(OnDisk::Output) {
            let (file, output) = reader::file(&self.on_disk("output"))?;
            return Ok(Running::new(command.stdout(file).spawn()?, output, mark));
        }
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let pipe = child.stdout.take().ok_or("no pipe of output")?;
        let pace = self.plan.pace;
        if pace != Pace::Prompt {
            self.tally.inject(if pace == Pace::Slow { "reader: slow" } else { "reader: rests" });
        }
        Ok(Running::new(child, Output::of_pipe(pipe, pace, self.random.number()), mark))
    }

    /// The command of the supervisor, sometimes with its own clock, which may be behind that of the
    /// previous run.
    fn command(&mut self) -> Command {
        if !(self.ground.has_clocks && self.random.chance(30)) {
            return Command::new(&self.ground.supervisor);
        }
        self.tally.inject("clock: step between runs");
        let step = self.random.between(0, CLOCK_STEP_MAX).to_string();
        let mut command = Command::new("unshare");
        command.args(["--time", "--monotonic", &step, "--boottime", &step]);
        command.arg(&self.ground.supervisor);
        command
    }

    fn submit(&mut self, jobs: Vec<(u64, Planted)>) -> Result<(), Fault> {
        self.books.submitted.extend(jobs);
        let mut lines: Vec<_> = self.books.submitted.iter().collect();
        if self.books.starts > 0 && self.plan.reorders {
            self.random.shuffle(&mut lines);
            self.tally.inject("input: in another order");
        }
        let lines = lines.into_iter().map(|(job, planted)| format!("{job} {}\n", planted.name()));
        Ok(fs::write(self.input(), lines.collect::<String>())?)
    }

    fn alter_input(&mut self) -> Result<(), Fault> {
        let added = std::mem::take(&mut self.plan.added);
        if !added.is_empty() {
            self.tally.inject("input: jobs added");
        }
        self.submit(added)
    }

    /// Lets the supervisor verify the journal.
    fn verify(&mut self) -> Result<(), Fault> {
        let journal = self.journal();
        // The supervisor died before it created the journal.
        if !journal.exists() {
            return Ok(());
        }
        let mut verify = Command::new(&self.ground.supervisor);
        let verified = verify.args(["journal", "verify"]).arg(journal).output()?;
        let stderr = String::from_utf8_lossy(&verified.stderr).into_owned();
        // Or it died while it created the journal.
        if !verified.status.success() && !stderr.contains("nothing was ever recorded in it") {
            self.misconduct(format!("its journal is not sound: {stderr}"));
        }
        Ok(())
    }

    fn on_disk(&self, name: &str) -> PathBuf {
        let disk = self.ground.disk.as_ref().map(Disk::path);
        disk.unwrap_or(self.directory).join(format!("{name}.{}", self.books.starts))
    }

    fn journal(&self) -> PathBuf {
        let disk = self.ground.disk.as_ref().filter(|_| self.plan.on_disk == Some(OnDisk::Journal));
        disk.map_or(self.directory, Disk::path).join("journal")
    }

    fn witness(&self) -> PathBuf {
        self.directory.join("witness")
    }

    fn input(&self) -> PathBuf {
        self.directory.join("jobs")
    }

    fn stderr(&self) -> PathBuf {
        self.directory.join(format!("stderr.{}", self.books.starts))
    }
}
