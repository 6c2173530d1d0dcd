//! Plays rounds until the time is up or a violation is found.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    Arguments, Fault,
    books::Books,
    disk::Disk,
    judge::{self, Violation},
    round::{Ground, Round},
    story::stories,
    tally::Tally,
};

/// The largest number of job histories that are printed; more would bury the first.
const HISTORIES_MAX: usize = 5;

/// Runs the whole campaign. Returns whether no violation was found.
pub(crate) fn run(arguments: &Arguments) -> Result<bool, Fault> {
    let supervisor = supervisor(arguments.supervisor.as_deref())?;
    let directory = arguments.dir.clone().unwrap_or_else(env::temp_dir);
    let directory = directory.join(format!("chaos-{}", process::id()));
    fs::create_dir_all(&directory)?;
    let directory = directory.canonicalize()?;
    let ground = ground(supervisor, &directory);
    let seed = arguments.seed.unwrap_or_else(new_seed);
    eprintln!("chaos: seed {seed}, {} seconds", arguments.seconds);

    let (begun, time) = (Instant::now(), Duration::from_secs(arguments.seconds));
    let goes_on = || begun.elapsed() < time;
    let mut tally = Tally::default();
    let mut is_well = true;
    for seed in (seed..).take_while(|_| goes_on()) {
        let place = directory.join(format!("round-{seed}"));
        let (books, mut violations) =
            Round::new(seed, &ground, &place, &mut tally).play(&goes_on).map_err(|fault| {
                format!("round {seed}: {fault}; files are kept in {}", place.display())
            })?;
        violations.extend(judge::violations(&books));
        tally.add(&books, &violations);
        if !violations.is_empty() {
            is_well = false;
            print_violations(seed, &books, &violations, &place);
            break;
        }
        fs::remove_dir_all(&place)?;
    }
    println!("{tally}");
    if is_well {
        drop(ground);
        fs::remove_dir_all(&directory)?;
    }
    Ok(is_well)
}

fn supervisor(given: Option<&Path>) -> Result<PathBuf, Fault> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => env::current_exe()?.with_file_name("supervisor"),
    };
    path.canonicalize().map_err(|fault| {
        format!("{}: {fault}; build it, or name another with --supervisor", path.display()).into()
    })
}

/// Finds out which kinds of harm this machine permits, and reports those that it does not.
fn ground(supervisor: PathBuf, directory: &Path) -> Ground {
    let disk = Disk::mount(&directory.join("disk"));
    if let Err(fault) = &disk {
        eprintln!(
            "chaos: LEFT OUT: full disks, because a private tmpfs cannot be mounted: {fault}"
        );
    }
    let mut clock = Command::new("unshare");
    clock.args(["--time", "--monotonic", "1", "true"]).stderr(Stdio::null());
    let has_clocks = clock.status().is_ok_and(|status| status.success());
    if !has_clocks {
        eprintln!(
            "chaos: LEFT OUT: clock steps between runs, because there are no time namespaces"
        );
    }
    eprintln!(
        "chaos: LEFT OUT: steps of the wall clock, because the whole machine shares it and \
         namespaces cannot have their own"
    );
    Ground { supervisor, disk: disk.ok(), has_clocks }
}

fn print_violations(seed: u64, books: &Books, violations: &[Violation], place: &Path) {
    println!("round {seed} has violations; its files are kept in {}", place.display());
    println!("to play it again: chaos --seed {seed}");
    let stories = stories(books);
    let mut printed = Vec::new();
    for Violation { kind, job, what } in violations {
        let Some(job) = job else {
            println!("{kind}: {what}");
            continue;
        };
        println!("{kind}: job {job}: {what}");
        if !printed.contains(job) && printed.len() < HISTORIES_MAX {
            printed.push(*job);
            print!("{}", stories.get(job).map_or(String::new(), ToString::to_string));
        }
    }
    println!("signals to workers: {:?}", books.signals);
}

fn new_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) ^ u64::from(process::id()) << 32
}
