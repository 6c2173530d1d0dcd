//! Keeps the inputs of the benchmarks, and runs and measures commands.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};

/// The directory of the measured programs, and a temporary directory, which is removed when dropped.
pub(crate) struct Workspace {
    directory: PathBuf,
    programs: PathBuf,
}

/// Time that a command and all its children took, in seconds.
pub(crate) struct Ran {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
}

impl Workspace {
    pub(crate) fn new() -> Self {
        let directory = env::temp_dir().join(format!("supervisor-jobs-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let built = Path::new(env!("CARGO_BIN_EXE_supervisor")).parent().unwrap();
        // Measures the programs of another build, for comparison.
        let programs = env::var_os("BENCH_BIN_DIR").map_or(built.into(), PathBuf::from);
        Self { directory, programs }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Returns a file of `count` different lines of 16 bytes.
    pub(crate) fn lines(&self, count: usize) -> PathBuf {
        self.input(&format!("lines-{count}"), |out| {
            for number in 0..count {
                writeln!(out, "{number:016}").unwrap();
            }
        })
    }

    /// Returns a file of `count` different lines of 1 MiB.
    pub(crate) fn blocks(&self, count: usize) -> PathBuf {
        let filling = vec![b'x'; (1 << 20) - 16];
        self.input(&format!("blocks-{count}"), |out| {
            for number in 0..count {
                write!(out, "{number:016}").unwrap();
                out.write_all(&filling).unwrap();
                out.write_all(b"\n").unwrap();
            }
        })
    }

    /// Returns the path of a file, which is written when it is first requested.
    pub(crate) fn input(&self, name: &str, write: impl FnOnce(&mut dyn Write)) -> PathBuf {
        let path = self.path(name);
        if !path.exists() {
            let mut out = BufWriter::with_capacity(1 << 20, File::create(&path).unwrap());
            write(&mut out);
            // Without a sync, the disk would be busy with this file during a measurement.
            out.into_inner().unwrap().sync_all().unwrap();
        }
        path
    }

    /// Returns the command `supervisor run` with options, jobs from a file or `-`, and a fixture with
    /// its arguments.
    pub(crate) fn supervisor(
        &self,
        options: &[&str],
        jobs: impl AsRef<OsStr>,
        program: &[&str],
    ) -> Command {
        let fixture = self.programs.join("examples").join(program[0]);
        assert!(fixture.is_file(), "{} is not built: run scripts/bench.sh", fixture.display());
        let mut command = Command::new(self.programs.join("supervisor"));
        command.arg("run").args(options).arg("--jobs-from").arg(jobs);
        command.arg("--").arg(fixture).args(&program[1..]);
        command.stdin(Stdio::null()).stderr(self.file("stderr"));
        command
    }

    /// Returns a command of `supervisor` for a run that is live, such as `events`.
    pub(crate) fn control(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("supervisor"));
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Returns the command `supervisor each` of a program with options, two at a time.
    pub(crate) fn each(&self, options: &[&str], program: &str) -> Command {
        let mut command = Command::new(self.programs.join("supervisor"));
        command.args(["each", "-j2"]).args(options).arg("--").arg(program);
        command.stderr(self.file("stderr"));
        command
    }

    /// Runs `supervisor run` to its end with `count` jobs from a file, and asserts that all succeed.
    pub(crate) fn jobs(
        &self,
        options: &[&str],
        count: usize,
        jobs: &Path,
        program: &[&str],
    ) -> Ran {
        let ran = self.run(&mut self.supervisor(options, jobs, program));
        assert_eq!(self.tally(), Some((count, count)), "all jobs succeed");
        ran
    }

    /// Runs a command to its end, asserts that it succeeds, and redirects its output to files.
    pub(crate) fn run(&self, command: &mut Command) -> Ran {
        command.stdin(Stdio::null()).stdout(self.file("stdout")).stderr(self.file("stderr"));
        // Cargo sets this variable, which slows down the loader of every command. Users do not have it.
        command.env_remove("LD_LIBRARY_PATH");
        let (began, cpu) = (Instant::now(), children_cpu());
        let status = command.status().unwrap();
        let wall = began.elapsed().as_secs_f64();
        assert!(status.success(), "{command:?}: {status}: {}", self.stderr());
        Ran { wall, cpu: children_cpu() - cpu }
    }

    fn file(&self, name: &str) -> Stdio {
        File::create(self.path(name)).unwrap().into()
    }

    /// Returns the stdout of the last command.
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.path("stdout")).unwrap()
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.path("stderr")).unwrap_or_default()
    }

    /// Returns the numbers of jobs and of successful jobs from the summary of the last run.
    pub(crate) fn tally(&self) -> Option<(usize, usize)> {
        let stderr = self.stderr();
        let mut lines = stderr.lines().rev();
        let (jobs, ended) = lines.find_map(|line| line.split_once(" jobs: "))?;
        let ok = ended.split([',', ';']).find_map(|part| part.trim().strip_suffix(" ok"));
        Some((jobs.parse().ok()?, ok.map_or(Some(0), |ok| ok.parse().ok())?))
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Returns the CPU time, in seconds, of all children that ended and of the children they waited for.
fn children_cpu() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 * 1e-6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// A live supervisor, which is killed when dropped.
pub(crate) struct Live(pub(crate) Child);

impl Live {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// Waits up to 30 s for its end, and returns whether it succeeded.
    pub(crate) fn succeeds(&mut self) -> bool {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(30) {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        false
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
