//! Whether a process descends from another one.

use crate::proc::Stat;

/// The number of generations that are followed at most.
const GENERATIONS_MAX: usize = 64;

/// Whether `ancestor` is the parent of the process, or the parent of that one, and so on. The answer
/// holds for the moment of the call: a process whose parent ends gets another one.
#[must_use]
pub fn is_descendant(pid: i32, ancestor: i32) -> bool {
    let parent = |of: &i32| Stat::read(*of).map(|process| process.parent);
    std::iter::successors(Some(pid), parent)
        .skip(1)
        .take(GENERATIONS_MAX)
        .any(|process| process == ancestor)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_grandchild_descends_from_this_process_and_not_the_other_way_round() {
        let mut shell = Command::new("sh");
        let shell = shell.args(["-c", "sh -c 'echo $$; read x'; :"]);
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = std::io::BufReader::new(shell.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        let (own, grandchild) = (std::process::id().cast_signed(), line.trim().parse().unwrap());
        assert!(is_descendant(grandchild, own) && !is_descendant(own, grandchild));
        assert!(!is_descendant(own, own) && !is_descendant(grandchild, 0x7fff_ffff));
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }
}
