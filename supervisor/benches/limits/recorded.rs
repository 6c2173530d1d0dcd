//! Measures the cost of a journal: the same jobs with and without one, its size, and the memory of the
//! supervisor.

use std::{fs, path::PathBuf, process::Stdio};

use super::{
    command::{Live, Workspace},
    memory,
    table::{Goal, ROUNDS, Table, Turns, mebibytes, rate, turns},
};

const COUNT: usize = 2_000_000;
const QUIET: [&str; 4] = ["-w", "2", "--output", "none"];
/// Largest size per job: 200 bytes besides the 32 bytes of the job and its reply.
const BYTES_MAX: f64 = 200.0 + 32.0;

pub(crate) fn recorded(workspace: &Workspace, table: &mut Table) {
    let journal = Journal(workspace.path("journal"));
    let input = workspace.lines(COUNT);
    let [mut rates, mut sizes] = <[Turns; 2]>::default();
    for _ in 0..ROUNDS {
        let options = journal.anew(&QUIET);
        let ran = workspace.jobs(&options, COUNT, &input, &["echo"]);
        rates.push(COUNT as f64 / ran.wall, 250e3);
        sizes.push(fs::metadata(&journal.0).unwrap().len() as f64 / COUNT as f64, BYTES_MAX);
    }
    let name = "2 M jobs of 16 bytes, with a journal";
    table.row(name, &rates, rate, &Goal::AtLeast(1.0, "of 250 k/s"));
    let bytes = |bytes: f64| format!("{bytes:.0} bytes");
    table.row("  its size per job", &sizes, bytes, &Goal::AtMost(1.0, "of 200, payload and reply"));
    beside_none(workspace, table, &journal);
    grows(workspace, table, &journal);
}

/// Measures jobs that take longer than their recording.
fn beside_none(workspace: &Workspace, table: &mut Table, journal: &Journal) {
    const SPINS: usize = 20_000;
    const COMMANDS: usize = 3000;
    let input = workspace.lines(SPINS);
    let spin = |options: &[&str]| {
        SPINS as f64 / workspace.jobs(options, SPINS, &input, &["spin", "100"]).wall
    };
    let spins = turns(|| spin(&journal.anew(&QUIET)), || spin(&QUIET));
    let goal = Goal::AtLeast(0.97, "of the same without");
    table.row("20 k jobs of 100 us, with a journal", &spins, rate, &goal);
    let lines = workspace.lines(COMMANDS);
    let quiet = ["--output", "none", "-a", lines.to_str().unwrap()];
    let each = |options: &[&str]| {
        COMMANDS as f64 / workspace.run(&mut workspace.each(options, "/bin/true")).wall
    };
    let commands = turns(|| each(&journal.anew(&quiet)), || each(&quiet));
    table.row("3000 x /bin/true, with a journal", &commands, rate, &goal);
}

/// Measures whether the supervisor's memory grows with its journal.
fn grows(workspace: &Workspace, table: &mut Table, journal: &Journal) {
    let options = journal.anew(&QUIET);
    let mut command = workspace.supervisor(&options, "-", &["echo"]);
    let mut run = Live::start(command.stdin(Stdio::piped()));
    let mut input = run.0.stdin.take().unwrap();
    let lines = fs::File::open(workspace.lines(COUNT)).unwrap();
    memory::feed(&lines, &mut input, 200_000);
    let early = memory::status(&run, "VmRSS");
    memory::feed(&lines, &mut input, COUNT - 200_000);
    let late = memory::status(&run, "VmRSS");
    drop(input);
    assert!(run.succeeds(), "the run succeeds");
    let mut turns = Turns::default();
    turns.push(late, early);
    let goal = Goal::AtMost(1.2, "of that after 200 k");
    table.row("2 M jobs with a journal: memory", &turns, mebibytes, &goal);
}

/// The path of a journal that every run creates anew.
struct Journal(PathBuf);

impl Journal {
    fn anew<'a>(&'a self, options: &[&'a str]) -> Vec<&'a str> {
        let _ = fs::remove_file(&self.0);
        [&["--journal", self.0.to_str().unwrap()], options].concat()
    }
}
