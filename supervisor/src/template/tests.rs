//! Tests of templates.

use super::*;
use proptest::prelude::*;

fn reading(shell: bool, inputs: usize) -> Reading<'static> {
    Reading { shell, replace: None, inputs, append: true }
}

fn read(words: &[&str], reading: Reading<'_>) -> Result<Template, TemplateError> {
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    Template::read(&words, reading)
}

fn filled(words: &[&str], reading: Reading<'_>, payload: &str) -> Vec<String> {
    let mut filled = Words::default();
    let template = read(words, reading).unwrap();
    template.fill(Filling { payload: payload.as_bytes(), number: 7, slot: 2 }, &mut filled);
    assert_eq!(filled.c_strings().count(), filled.iter().count());
    filled.iter().map(|word| String::from_utf8(word.to_vec()).unwrap()).collect()
}

#[test]
fn placeholders_are_those_of_gnu_parallel() {
    let path = "dir.d/sub/file.tar.gz";
    for (word, value) in [
        ("{}", path),
        ("{.}", "dir.d/sub/file.tar"),
        ("{/}", "file.tar.gz"),
        ("{//}", "dir.d/sub"),
        ("{/.}", "file.tar"),
        ("{#}-{%}", "7-2"),
        ("{1/}", "file.tar.gz"),
        ("x{}y", "xdir.d/sub/file.tar.gzy"),
        ("{a b} {\"x\":{/}} ${HOME}", "{a b} {\"x\":file.tar.gz} ${HOME}"),
    ] {
        let reading = Reading { append: false, ..reading(false, 1) };
        assert_eq!(filled(&["c", word], reading, path)[1..], [value], "{word}");
    }
    for (input, form, value) in [
        ("a", "{//}", "."),
        ("/a", "{//}", "/"),
        (".bashrc", "{.}", ".bashrc"),
        ("d.x/f", "{.}", "d.x/f"),
        ("d/", "{/}", ""),
        ("", "{.}", ""),
    ] {
        assert_eq!(filled(&["c", form], reading(false, 1), input)[1..], [value], "{form}");
    }
}

#[test]
fn several_inputs_become_words_or_are_joined() {
    let two = "a b\0c";
    assert_eq!(filled(&["echo"], reading(false, 2), two), ["echo", "a b", "c"]);
    assert_eq!(filled(&["echo", "{2}-{1}"], reading(false, 2), two), ["echo", "c-a b"]);
    assert_eq!(filled(&["echo", "<{}>"], reading(false, 2), two), ["echo", "<a b c>"]);
    assert_eq!(filled(&["echo"], reading(true, 2), two), ["sh", "-c", "echo 'a b' c"]);
}

#[test]
fn a_script_is_quoted_and_an_input_may_be_one() {
    let script = |words: &[&str], input| filled(words, reading(true, 1), input).remove(2);
    assert_eq!(script(&["wc -l < {} | tee {/}.n"], "a'b"), r"wc -l < 'a'\''b' | tee 'a'\''b'.n");
    assert_eq!(script(&[], "echo $((1+1)) | cat"), "echo $((1+1)) | cat");
    assert_eq!(script(&["echo"], ""), "echo ''");
    let several = |words: &[&str]| filled(words, reading(true, 2), "echo $x;\0ls a").remove(2);
    assert_eq!(several(&[]), "echo $x; ls a");
    assert_eq!(several(&["{}"]), "echo $x; ls a");
    assert_eq!(several(&["{2} {1}"]), "'ls a' 'echo $x;'");
}

#[test]
fn a_custom_placeholder_leaves_braces_alone() {
    let reading = Reading { replace: Some(",,"), ..reading(false, 1) };
    assert_eq!(filled(&["awk", "{print}", "x,,"], reading, "f"), ["awk", "{print}", "xf"]);
}

#[test]
fn an_unknown_placeholder_is_refused() {
    let refused =
        |words: &[&str], inputs| read(words, reading(false, inputs)).unwrap_err().to_string();
    assert!(refused(&["echo", "{+/}"], 1).starts_with("{+/} is no placeholder: there are {} {.}"));
    assert!(refused(&["echo", "a{= s/a/b/ =}"], 1).starts_with("{= =} is Perl"));
    assert!(refused(&["echo", "{3}"], 2).starts_with("{3} stands for input 3, and a job has 2"));
    assert!(refused(&["echo", "{0}"], 2).contains("a job has 2"));
    assert!(refused(&["echo", "{..}"], 1).contains("no placeholder"));
    assert!(refused(&[], 1).starts_with("name a COMMAND"));
}

#[test]
fn the_program_is_known_if_it_is_always_the_same() {
    let program = |words: &[&str], shell| {
        let template = read(words, reading(shell, 1)).unwrap();
        template.program().map(|program| program.to_string_lossy().into_owned())
    };
    assert_eq!(program(&["gzip", "{}"], false).as_deref(), Some("gzip"));
    assert_eq!(program(&["gzip"], true).as_deref(), Some("sh"));
    assert_eq!(program(&["{}"], false), None);
}

proptest! {
    #[test]
    fn a_shown_command_is_read_back_by_the_shell(input in "[^\0]{0,20}") {
        let template = read(&["printf", "%s", "{}"], reading(false, 1)).unwrap();
        let mut shown = Vec::new();
        template.show(Filling { payload: input.as_bytes(), number: 1, slot: 1 }, &mut shown);
        let script = String::from_utf8(shown).unwrap();
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        prop_assert_eq!(output.stdout, input.as_bytes());
    }
}

#[test]
fn braces_of_other_languages_are_left_alone() {
    let words = ["awk", "{print}", "{x}", "{\"a\":1}", "{print $1}", "${A}", "{}"];
    assert_eq!(filled(&words, reading(false, 1), "f")[1..6], words[1..6]);
    let script = "for i in {1..3} {a,b}; do awk '{print}' {}; done";
    let expected = "for i in {1..3} {a,b}; do awk '{print}' f; done";
    assert_eq!(filled(&[script], reading(true, 1), "f")[2], expected);
}

#[test]
fn a_placeholder_that_no_quotes_protect_is_refused() {
    for (script, place) in [
        ("echo \"{}\"", "between quotes"),
        ("echo '{}'", "between quotes"),
        ("sh -c \"ls {/}\"", "between quotes"),
        ("echo \"$(echo a)\" \"b {}\"", "between quotes"),
        ("echo `ls {}`", "between backticks"),
        ("echo \\{}", "behind a backslash"),
        ("cat <<EOF\n{}\nEOF", "in a here-document"),
        ("cat <<-'E F' # x\n\ta {}\n", "in a here-document"),
        ("echo \"${a:-{}}\"", "between quotes"),
        ("echo \"$(case x in a) echo \"{}\";; esac)\"", "behind `case`"),
        ("echo $'it\\'s {}'", "behind `case`"),
        ("echo $(( '1' )) {}", "behind `case`"),
    ] {
        let error = read(&[script], reading(true, 1)).unwrap_err().to_string();
        assert!(
            error.contains(place) && error.contains("leave the quotes out"),
            "{script}: {error}"
        );
    }
    // Words of a script are one text.
    let error = read(&["echo", "'a", "{}", "b'"], reading(true, 1)).unwrap_err().to_string();
    assert!(error.contains("between quotes"), "{error}");
}

#[test]
fn no_input_runs_as_code_wherever_a_placeholder_may_stand() {
    let attack = "$(echo EVIL >&2)'`echo EVIL >&2`\n echo EVIL >&2 #\\";
    for script in [
        "printf %s {} # {}",
        "printf %s \"$(printf %s {})\"",
        "printf %s {}\ncat <<EOF\nx\nEOF\n: {}",
        "cat <<< x 2>&-; printf %s {}",
        "(printf %s {}); case {} in a) echo no;; esac",
        "echo \"a\\\"\"{}'b' \"$((1 + (2)))\"{}",
        "echo $((1 + {}))",
        "x=${A#'#'}; echo {}",
        "# a comment with it's\nprintf %s {}",
        "echo \\' ; echo {}",
    ] {
        let words = filled(&[script], reading(true, 1), attack);
        let output = std::process::Command::new("sh").args(["-c", &words[2]]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.lines().any(|line| line == "EVIL"), "{script}: {stderr}");
    }
    assert_eq!(filled(&["echo $(({} * 2))"], reading(true, 1), "21")[2], "echo $((21 * 2))");
}
