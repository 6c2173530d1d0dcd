//! Makes inputs out of valid ones: bits flip, ends are missing, parts move and repeat, and lengths and
//! numbers lie.

use fastrand::Rng;

/// The longest input, in bytes, unless a valid one is longer.
const BYTES_MAX: usize = 4096;

/// Draws an input: a valid one with up to eight changes, or, rarely, any bytes.
pub(crate) fn input(rng: &mut Rng, seeds: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    if seeds.is_empty() || rng.u8(..) < 8 {
        return bytes(rng, 64);
    }
    let mut input = seeds[rng.usize(..seeds.len())].clone();
    let bytes_max = BYTES_MAX.max(input.len());
    // One change is the most frequent number: it leaves the rest of the input valid.
    let changes = 1 + rng.u32(..).trailing_zeros().min(7);
    for _ in 0..changes {
        change(rng, &mut input, seeds, words);
        input.truncate(bytes_max);
    }
    input
}

fn change(rng: &mut Rng, input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str]) {
    let at = rng.usize(..=input.len());
    let end = at + rng.usize(..=(input.len() - at).min(32));
    match rng.u8(..10) {
        0 => input.truncate(at),
        1 => drop(input.drain(at..end)),
        2 => flip(rng, input),
        3 => lie(rng, input),
        4 => number(rng, input),
        5 => {
            let copy = input[at..end].to_vec();
            let to = rng.usize(..=input.len());
            drop(input.splice(to..to, copy));
        }
        6 => {
            let other = &seeds[rng.usize(..seeds.len())];
            let from = rng.usize(..=other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        7 => {
            let more = bytes(rng, 4);
            drop(input.splice(at..end, more));
        }
        _ if words.is_empty() => flip(rng, input),
        _ => {
            let word = words[rng.usize(..words.len())].bytes();
            let end = if rng.bool() { at } else { end };
            drop(input.splice(at..end, word));
        }
    }
}

fn flip(rng: &mut Rng, input: &mut [u8]) {
    if !input.is_empty() {
        input[rng.usize(..input.len())] ^= 1 << rng.u8(..8);
    }
}

/// Overwrites a binary number, such as a length, by one at a limit or near a plausible value.
fn lie(rng: &mut Rng, input: &mut [u8]) {
    let width = [1, 2, 4, 8][rng.usize(..4)];
    if let Some(last) = input.len().checked_sub(width) {
        let at = rng.usize(..=last);
        input[at..at + width].copy_from_slice(&extreme(rng, last).to_le_bytes()[..width]);
    }
}

/// Replaces a decimal number by another.
fn number(rng: &mut Rng, input: &mut Vec<u8>) {
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let starts: Vec<usize> = (0..input.len())
        .filter(|at| is_digit(input.get(*at)) && (*at == 0 || !is_digit(input.get(*at - 1))))
        .collect();
    if starts.is_empty() {
        return;
    }
    let at = starts[rng.usize(..starts.len())];
    let length = input[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = match rng.u8(..6) {
        0 => format!("-{}", extreme(rng, length)),
        1 => format!("{}.{}", extreme(rng, length), rng.u16(..)),
        2 => format!("{}e{}", extreme(rng, length), rng.u16(..400)),
        _ => extreme(rng, length).to_string(),
    };
    input.splice(at..at + length, text.into_bytes());
}

fn extreme(rng: &mut Rng, near: usize) -> u64 {
    let near = near as u64;
    let all = [
        0,
        1,
        near,
        near + 1,
        near.saturating_sub(4),
        0x7f,
        0xff,
        0x7fff,
        0xffff,
        64 << 20,
        (64 << 20) + 1,
        0x7fff_ffff,
        0xffff_ffff,
        1 << 32,
        1 << 53,
        i64::MAX as u64,
        u64::MAX,
        rng.u64(..1000),
    ];
    all[rng.usize(..all.len())]
}

fn bytes(rng: &mut Rng, most: usize) -> Vec<u8> {
    (0..rng.usize(..=most)).map(|_| rng.u8(..)).collect()
}
