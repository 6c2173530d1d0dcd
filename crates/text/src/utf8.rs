//! Where text may be cut: between characters, never within one.

/// Returns the length of `bytes` without a character at their end that is not complete. Bytes that
/// are not UTF-8 count as complete.
#[must_use]
pub fn complete(bytes: &[u8]) -> usize {
    let lead = bytes.iter().rev().take(3).position(|byte| byte & 0xc0 != 0x80);
    let Some(lead) = lead else { return bytes.len() };
    let start = bytes.len() - lead - 1;
    let length = match bytes[start] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    if start + length > bytes.len() { start } else { bytes.len() }
}

/// Returns `bytes` without the end of a character that was cut off before them.
#[must_use]
pub fn from_character(bytes: &[u8]) -> &[u8] {
    let is_rest = |byte: &&u8| **byte & 0xc0 == 0x80;
    &bytes[bytes.iter().take(3).take_while(is_rest).count()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        let text = "aé€😀b";
        for at in 0..=text.len() {
            let expected = (0..=at).rev().find(|at| text.is_char_boundary(*at));
            assert_eq!(Some(complete(&text.as_bytes()[..at])), expected, "{at}");
            let rest = from_character(&text.as_bytes()[at..]);
            let expected = (at..=text.len()).find(|at| text.is_char_boundary(*at));
            assert_eq!(Some(text.len() - rest.len()), expected, "{at}");
        }
        for bytes in [&b"\xff\xff\xff\xff"[..], b"\x80\x80\x80\x80", b"a\xc0", b""] {
            assert_eq!(complete(bytes), bytes.len());
        }
    }
}
