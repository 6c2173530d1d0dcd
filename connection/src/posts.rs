//! The content of posts, in the manner of jsonplaceholder. A post depends on its number alone, so it
//! is the same on every machine.

/// The number of posts per user.
const POSTS_PER_USER: u64 = 10;

const WORDS: [&str; 32] = [
    "alias",
    "aut",
    "autem",
    "consequatur",
    "culpa",
    "dolor",
    "dolorem",
    "ea",
    "est",
    "et",
    "eum",
    "facere",
    "fugit",
    "harum",
    "illo",
    "ipsum",
    "iste",
    "magnam",
    "minus",
    "nesciunt",
    "nihil",
    "officia",
    "optio",
    "quasi",
    "qui",
    "quia",
    "quo",
    "rerum",
    "sint",
    "sunt",
    "velit",
    "voluptas",
];

/// Returns post `id`, counted from 1, as JSON.
#[must_use]
pub fn post(id: u64) -> String {
    let mut words = Words { state: id };
    let user = id.saturating_sub(1) / POSTS_PER_USER + 1;
    let title = words.line(6);
    // The words need no escaping. The line breaks in the body are JSON escapes.
    let body = [words.line(8), words.line(7), words.line(8), words.line(5)].join("\\n");
    format!(
        "{{\n  \"userId\": {user},\n  \"id\": {id},\n  \"title\": \"{title}\",\n  \"body\": \"{body}\"\n}}\n"
    )
}

/// An endless sequence of words, drawn with `SplitMix64`.
struct Words {
    state: u64,
}

impl Words {
    fn line(&mut self, count: usize) -> String {
        (0..count).map(|_| self.word()).collect::<Vec<_>>().join(" ")
    }

    fn word(&mut self) -> &'static str {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The upper five bits are the best mixed ones; they select one of 32 words.
        WORDS[usize::from((mixed >> 59) as u8)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_depends_on_its_number_alone() {
        assert_eq!(post(7), post(7));
        assert_ne!(post(7), post(8));
        assert!(post(10).starts_with("{\n  \"userId\": 1,\n  \"id\": 10,\n  \"title\": \""));
        assert!(post(11).contains("\"userId\": 2,"));
        assert!(post(u64::MAX).ends_with("\"\n}\n"));
    }
}
