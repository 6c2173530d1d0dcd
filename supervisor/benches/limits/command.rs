//! Where the inputs lie, and how a command is run to its end and measured.

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

/// The temporary directory of this run, gone when dropped, and the programs.
pub(crate) struct Place {
    directory: PathBuf,
    programs: PathBuf,
}

/// What a command and all its children took, in seconds.
pub(crate) struct Ran {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = env::temp_dir().join(format!("supervisor-jobs-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let built = Path::new(env!("CARGO_BIN_EXE_supervisor")).parent().unwrap();
        // Another build's figures, for comparison.
        let programs = env::var_os("BENCH_BIN_DIR").map_or(built.into(), PathBuf::from);
        Self { directory, programs }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// So many lines of 16 bytes, each another.
    pub(crate) fn lines(&self, count: usize) -> PathBuf {
        self.input(&format!("lines-{count}"), |out| {
            for number in 0..count {
                writeln!(out, "{number:016}").unwrap();
            }
        })
    }

    /// So many lines of 1 MiB, each another.
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

    /// A file, written when first asked for.
    pub(crate) fn input(&self, name: &str, write: impl FnOnce(&mut dyn Write)) -> PathBuf {
        let path = self.path(name);
        if !path.exists() {
            let mut out = BufWriter::with_capacity(1 << 20, File::create(&path).unwrap());
            write(&mut out);
            // Or the disk would be busy with it while something is measured.
            out.into_inner().unwrap().sync_all().unwrap();
        }
        path
    }

    /// `supervisor run` with these options, jobs from a file or `-`, and a fixture with its
    /// arguments.
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
        command.stdin(Stdio::null()).stderr(self.file("complained"));
        command
    }

    /// `supervisor` with these words, for a run that goes on.
    pub(crate) fn asking(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("supervisor"));
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// `supervisor each` of a program with these options, two at a time.
    pub(crate) fn each(&self, options: &[&str], program: &str) -> Command {
        let mut command = Command::new(self.programs.join("supervisor"));
        command.args(["each", "-j2"]).args(options).arg("--").arg(program);
        command.stderr(self.file("complained"));
        command
    }

    /// As [`Self::supervisor`], from a file and to the end; all jobs are to be done.
    pub(crate) fn jobs(
        &self,
        options: &[&str],
        count: usize,
        jobs: &Path,
        program: &[&str],
    ) -> Ran {
        let ran = self.run(&mut self.supervisor(options, jobs, program));
        assert_eq!(self.tally(), Some((count, count)), "all jobs are done");
        ran
    }

    /// Runs a command to its end, which is to be a good one; what it says goes into files.
    pub(crate) fn run(&self, command: &mut Command) -> Ran {
        command.stdin(Stdio::null()).stdout(self.file("said")).stderr(self.file("complained"));
        // Cargo's own, which keeps the loader of every command busy and which nobody else has.
        command.env_remove("LD_LIBRARY_PATH");
        let (began, cpu) = (Instant::now(), children_cpu());
        let status = command.status().unwrap();
        let wall = began.elapsed().as_secs_f64();
        assert!(status.success(), "{command:?}: {status}: {}", self.complained());
        Ran { wall, cpu: children_cpu() - cpu }
    }

    fn file(&self, name: &str) -> Stdio {
        File::create(self.path(name)).unwrap().into()
    }

    /// The last command's stdout.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.path("said")).unwrap()
    }

    fn complained(&self) -> String {
        fs::read_to_string(self.path("complained")).unwrap_or_default()
    }

    /// How many jobs there were and how many were done, as the last run summed them up.
    pub(crate) fn tally(&self) -> Option<(usize, usize)> {
        let complained = self.complained();
        let mut lines = complained.lines().rev();
        let (jobs, ended) = lines.find_map(|line| line.split_once(" jobs: "))?;
        let ok = ended.split([',', ';']).find_map(|part| part.trim().strip_suffix(" ok"));
        Some((jobs.parse().ok()?, ok.map_or(Some(0), |ok| ok.parse().ok())?))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Seconds of processor time of all children that ended, and of those that they waited for.
fn children_cpu() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 * 1e-6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// A supervisor that runs, killed if it still does when dropped.
pub(crate) struct Live(pub(crate) Child);

impl Live {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// Whether it ends well, and in time.
    pub(crate) fn ends_well(&mut self) -> bool {
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
