//! Who may name whom, and what is nowhere to be found.

use super::{
    names::{has_word, line, paths, words},
    source::Source,
};

/// Files that are compiled for tests only, though nothing in them says so.
const TESTS: [&str; 3] = [
    "supervisor/src/cli/control/top/tests.rs",
    "supervisor/src/journal/tests/",
    "supervisor/src/pool/sim/",
];

/// What the compared jobs do.
const SLEEPERS: &str = "supervisor/src/compare/bodies.rs";

/// Words that no file of a place has.
const BANNED: &[(&str, &[&str])] = &[
    ("supervisor/src/pool/", &["tokio", "nix", "libc", "Instant", "SystemTime", "thread", "fs"]),
    ("supervisor/src/os/", &["pool", "executor", "clap"]),
    ("supervisor/src/executor/", &["clap"]),
    ("supervisor/src/sink/", &["pool", "clap"]),
    ("supervisor/src/source/", &["pool", "clap"]),
    ("supervisor/src/observe/", &["pool", "clap"]),
    ("supervisor/src/observers/", &["pool", "executor", "sink", "clap"]),
    ("supervisor/src/web/", &["pool", "executor", "sink", "clap"]),
    ("supervisor/src/journal/", &["pool", "executor", "clap"]),
    ("supervisor/src/launcher/", &["pool", "tokio", "clap"]),
    ("supervisor/src/compare/", &["pool", "clap"]),
    ("supervisor/src/run.rs", &["clap"]),
    ("supervisor/src/lib.rs", &["clap"]),
    ("supervisor/src/event.rs", VOCABULARY),
    ("supervisor/src/exit.rs", VOCABULARY),
    ("supervisor/src/hang.rs", VOCABULARY),
    ("supervisor/src/job.rs", VOCABULARY),
    ("supervisor/src/settings.rs", VOCABULARY),
    ("worker/src/", &["tokio", "clap"]),
];

/// What plain data have nothing to do with.
const VOCABULARY: &[&str] = &["tokio", "clap", "nix", "fs", "net", "pool", "executor", "os"];

pub(crate) fn banned_words(source: &Source) -> Vec<String> {
    let banned = BANNED.iter().filter(|(place, _)| source.is_in(place));
    let banned = banned.flat_map(|(place, words)| words.iter().map(move |word| (place, word)));
    banned
        .filter(|(_, word)| names(source, word) && !is_excused(source, word))
        .map(|(place, word)| format!("`{word}` has no place in {place}"))
        .collect()
}

pub(crate) fn is_test(source: &Source) -> bool {
    TESTS.iter().any(|place| source.is_in(place))
}

/// The simulation invents error numbers.
fn is_excused(source: &Source, word: &str) -> bool {
    is_test(source) && word == "libc"
}

/// `std::os` is not our own `os`.
fn names(source: &Source, word: &str) -> bool {
    if word != "os" {
        return has_word(&source.product, word);
    }
    paths(&source.product).iter().any(|path| path.starts_with("crate::os"))
}

/// The pool decides from what it is given: it imports vocabulary and pure parts of the standard
/// library only.
pub(crate) fn imports_of_the_pool(source: &Source) -> Vec<String> {
    if !source.is_in("supervisor/src/pool/") || is_test(source) {
        return Vec::new();
    }
    let is_allowed = |path: &String| {
        let mut parts = path.split("::");
        let (first, second) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        match first {
            "crate" => ["command", "event", "exit", "hang", "job", "limits", "settings", "signal"]
                .contains(&second),
            "std" => {
                ["cmp", "collections", "fmt", "iter", "mem", "num", "ops", "time"].contains(&second)
            }
            "self" | "super" | "Self" => true,
            "blame" | "clock" | "depth" | "dispatch" | "ending" | "halt" | "jobs" | "ledger"
            | "overrun" | "policy" | "recall" | "restart" | "retry" | "roll" | "shutdown"
            | "slot" | "step" | "stopping" | "verdict" | "watch" | "work" => true,
            _ => first.starts_with(char::is_uppercase) || is_primitive(first),
        }
    };
    let all = paths(&source.product);
    all.iter()
        .filter(|path| !is_allowed(path))
        .map(|path| format!("the pool names {path}"))
        .collect()
}

fn is_primitive(name: &str) -> bool {
    let bits = name.strip_prefix(['u', 'i', 'f']).unwrap_or("");
    ["8", "16", "32", "64", "128", "size"].contains(&bits)
        || ["str", "bool", "char"].contains(&name)
}

/// No polling, no queue without a bound, no wall clock but where it is shown.
pub(crate) fn nowhere(source: &Source) -> Vec<String> {
    let is_ours = ["supervisor/src/", "worker/src/"].iter().any(|place| source.is_in(place));
    if !is_ours || is_test(source) {
        return Vec::new();
    }
    let mut banned = vec!["sleep_ms", "park_timeout", "interval"];
    // There are jobs that do nothing else.
    if source.path != SLEEPERS {
        banned.push("sleep");
    }
    banned.extend(["unbounded_channel", "UnboundedSender", "unbounded"]);
    if source.is_in("supervisor/src/") && !source.is_in("supervisor/src/sink/") {
        banned.push("SystemTime");
    }
    let code = &source.product;
    let mut found: Vec<_> = words(code)
        .filter(|(_, word)| banned.contains(word))
        .map(|(at, word)| format!("line {}: `{word}`", line(code, at)))
        .collect();
    let bare = code.match_indices("mpsc::channel()");
    found.extend(bare.map(|(at, _)| format!("line {}: a channel without a bound", line(code, at))));
    found
}
