//! Recognises a script that was given as the name of a program: `each 'cat {} | wc -l'`, as GNU
//! parallel takes it.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use text::escape::visible;

/// Refuses a first word that no program has as its name.
///
/// # Errors
/// The word is a script, or a command in quotes.
pub(super) fn refuse(word: &OsStr, cwd: Option<&Path>) -> Result<(), String> {
    let bytes = word.as_bytes();
    // A directory may have a blank in its name, and so may a program.
    let has_braces = bytes.contains(&b'{');
    let is_there = || cwd.unwrap_or(Path::new("")).join(word).exists();
    let fixed = bytes.iter().take_while(|byte| **byte != b'{').count();
    let start = bytes[..fixed].iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let is_word = |byte: &u8| !b" \t\n|;&<>$".contains(byte);
    if bytes[start..].iter().all(is_word) || !has_braces && is_there() {
        return Ok(());
    }
    let is_script = bytes.iter().any(|byte| b"|;&<>$\n".contains(byte));
    let remedy = if is_script {
        "to run it as a script, put --shell before it"
    } else {
        "leave out the quotes, so that it is a command and its arguments, or run it as a script with \
         --shell"
    };
    Err(format!("`{}` is one word, and no program has that name: {remedy}", visible(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_no_name_of_a_program() {
        let refused = |word: &str| refuse(OsStr::new(word), None).err();
        for word in ["{}", "./{}", "sort", "/bin/sh", "my dir/{}", "x{/}y", "a b/{.}.sh"] {
            assert_eq!(refused(word), None, "{word}");
        }
        for word in ["cat {} | wc -l", "gzip;ls", "echo $HOME", "a && b"] {
            assert!(refused(word).is_some_and(|text| text.ends_with("before it")), "{word}");
        }
        for word in ["cat {}", "/bin/cat {}", "{} --version", "gzip -k"] {
            let words = "leave out the quotes";
            assert!(refused(word).is_some_and(|text| text.contains(words)), "{word}");
        }
    }
}
