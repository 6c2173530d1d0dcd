//! Commands that cannot be started, and command lines that are refused before any job runs.

use std::{fs, time::Duration};

use crate::support::Run;

#[test]
fn a_file_of_inputs_behind_the_command_is_read_or_refused() {
    let run = Run::each(["echo", "{}", "::::", "list"]).with("-k");
    run.scratch.file("list", "a\nb\n", 0o644);
    let run = run.finish();
    assert_eq!((run.stdout_text(), run.code()), ("a\nb\n", Some(0)), "{}", run.stderr);
    for command in [&["echo", "-a", "list"][..], &["echo", "::::", "list", ":::", "x"]] {
        let run = Run::each(command);
        run.scratch.file("list", "a\n", 0o644);
        let run = run.finish();
        assert_eq!((run.stdout_text(), run.code()), ("", Some(2)), "{}", run.stderr);
        assert!(run.stderr.contains("-a"), "{}", run.stderr);
    }
    // The user says where inputs come from.
    let run = Run::each(["echo", "-a", "list"]).piped("x\n");
    run.scratch.file("list", "a\n", 0o644);
    assert_eq!(run.finish().stdout_text(), "-a list x\n");
}

#[test]
fn a_command_that_cannot_start_is_explained_once() {
    let run = Run::each(["./{}"]).with("-k -j 2");
    for (name, text) in [
        ("no-line", "echo hi\n"),
        ("no-shell", "#!/no/such/shell\n"),
        ("dos", "#!/bin/sh\r\necho hi\r\n"),
    ] {
        run.scratch.file(name, text, 0o755);
    }
    let names = ["no-line", "no-shell", "dos", "none", "none", "none"];
    let run = run.given(names).finish();
    assert_eq!(run.code(), Some(1));
    for words in [
        "cannot start ./no-line: the kernel knows no such format: a script needs a first line",
        "cannot start ./no-shell: its interpreter is not there: install /no/such/shell",
        "cannot start ./dos: its first line ends with a carriage return",
        "job 4 failed: cannot start ./none: no such file: check the path (attempt 1",
        "supervisor: 2 more jobs failed for this reason: cannot start ./none: no such file",
    ] {
        assert_eq!(run.stderr.matches(words).count(), 1, "{words}: {}", run.stderr);
    }
    assert!(!run.stderr.contains("job 5"), "{}", run.stderr);
}

#[test]
fn a_script_without_the_shell_option_is_refused_once() {
    for (command, words) in [
        (
            "echo {} | wc -c",
            "`echo {} | wc -c` is one word, and no program has that name: to run it as",
        ),
        ("cat {}", "leave out the quotes"),
    ] {
        let run = Run::each([command]).given(["a", "b"]).finish();
        assert_eq!((run.code(), run.messages().len()), (Some(2), 1), "{}", run.stderr);
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
    let run = Run::each_sh("echo \"{}\"").given(["$(touch made)"]).finish();
    assert_eq!(run.code(), Some(2));
    assert!(run.stderr.contains("{} stands between quotes in the script"), "{}", run.stderr);
}

#[test]
fn a_program_that_is_being_written_is_started_a_moment_later() {
    let run = Run::each(["./prog"]);
    let path = run.scratch.file("prog", "#!/bin/sh\necho ran\n", 0o755);
    let writer = fs::File::options().append(true).open(&path).unwrap();
    let closes = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(writer);
    });
    let run = run.given(["x"]).finish();
    closes.join().unwrap();
    assert_eq!((run.stdout_text(), run.code()), ("ran\n", Some(0)), "{}", run.stderr);
}
