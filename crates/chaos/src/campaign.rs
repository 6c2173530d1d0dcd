//! Round after round, until the time is over or something is wrong.

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

/// More would bury the first.
const HISTORIES_MOST: usize = 5;

/// Whether all was well.
pub(crate) fn run(arguments: &Arguments) -> Result<bool, Fault> {
    let supervisor = supervisor(arguments.supervisor.as_deref())?;
    let directory = arguments.dir.clone().unwrap_or_else(env::temp_dir);
    let directory = directory.join(format!("chaos-{}", process::id()));
    fs::create_dir_all(&directory)?;
    let directory = directory.canonicalize()?;
    let ground = ground(supervisor, &directory);
    let seed = arguments.seed.unwrap_or_else(some_seed);
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
            tell(seed, &books, &violations, &place);
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
        format!("{}: {fault}: build it, or name another by --supervisor", path.display()).into()
    })
}

/// What can be done here; what cannot is said aloud.
fn ground(supervisor: PathBuf, directory: &Path) -> Ground {
    let disk = Disk::mount(&directory.join("disk"));
    if let Err(fault) = &disk {
        eprintln!("chaos: LEFT OUT are full disks: a tmpfs of our own cannot be mounted: {fault}");
    }
    let mut clock = Command::new("unshare");
    clock.args(["--time", "--monotonic", "1", "true"]).stderr(Stdio::null());
    let has_clocks = clock.status().is_ok_and(|status| status.success());
    if !has_clocks {
        eprintln!("chaos: LEFT OUT are steps of the clock between runs: no namespace of time");
    }
    eprintln!(
        "chaos: LEFT OUT are steps of the wall clock: it is everybody's on this machine, and \
         namespaces have none of their own"
    );
    Ground { supervisor, disk: disk.ok(), has_clocks }
}

fn tell(seed: u64, books: &Books, violations: &[Violation], place: &Path) {
    println!("round {seed} is not well; its files are kept in {}", place.display());
    println!("to do the like again: chaos --seed {seed}");
    let stories = stories(books);
    let mut told = Vec::new();
    for Violation { kind, job, what } in violations {
        let Some(job) = job else {
            println!("{kind}: {what}");
            continue;
        };
        println!("{kind}: job {job}: {what}");
        if !told.contains(job) && told.len() < HISTORIES_MOST {
            told.push(*job);
            print!("{}", stories.get(job).map_or(String::new(), ToString::to_string));
        }
    }
    println!("signals to workers: {:?}", books.signals);
}

fn some_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) ^ u64::from(process::id()) << 32
}
