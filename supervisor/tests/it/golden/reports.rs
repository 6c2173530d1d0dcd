//! Files that other programs read: JUnit and the joblog.

use super::{check, commands, filter::stable, records::with_file};

#[test]
fn junit_is_golden() {
    let text = with_file(commands(), "--report junit:written");
    check("junit-commands", &stable(&text));
}

#[test]
fn the_joblog_is_golden() {
    let text = with_file(commands(), "--joblog written");
    check("joblog-commands", &stable(&text));
}
