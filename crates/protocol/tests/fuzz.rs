//! Fuzzes what each end of a worker's pipes reads of the other.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::{borrow::Cow, fs::File, os::unix::fs::FileExt};

use fuzz::{Checked, Did, Target};
use protocol::{
    frame::{self, FrameTooLong, Split},
    recorder::{BUFFER_BYTES, Recorder},
    wire::{
        CANCELS, Codec, Failure, FailureKind, RECORDER, SupervisorHello, ToSupervisor, ToWorker,
        VERSION, WorkerHello,
    },
};

const CAP: usize = 64;

fn framed(bodies: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for body in bodies {
        frame::append(&mut out, CAP, |out| out.extend_from_slice(body)).unwrap();
    }
    out
}

fn frames() -> Target {
    let seeds = vec![framed(&[b""]), framed(&[b"abc", b"", &[7; CAP]]), framed(&[&[0; 40]])];
    Target { name: "frames", seeds, words: &[] }
}

/// A frame has the length that its header states, within the cap; no byte is lost or invented.
fn check_frames(
    input: &[u8],
    split: impl Fn(&[u8]) -> Result<Option<Split<'_>>, FrameTooLong>,
) -> Checked {
    let (mut left, mut did) = (input, Did::Refuse);
    loop {
        match split(left) {
            Ok(Some((body, rest))) => {
                let used =
                    [&u32::try_from(body.len()).unwrap().to_le_bytes()[..], body, rest].concat();
                if body.len() > CAP || used != left {
                    return Err(format!("{left:?} begins with {body:?}"));
                }
                (left, did) = (rest, Did::Accept);
            }
            Ok(None) => return Ok(did),
            Err(fault) if fault.length > CAP => return Ok(did),
            Err(fault) => return Err(fault.to_string()),
        }
    }
}

#[test]
fn any_bytes_are_frames_or_refused() {
    frames().fuzz(|input| check_frames(input, |bytes| frame::split(bytes, CAP)));
}

#[test]
fn a_frame_over_the_cap_would_be_found() {
    frames().finds(|input| check_frames(input, |bytes| frame::split(bytes, CAP + 1)));
}

fn hellos() -> Target {
    let worker = |codec, capabilities: &[&str]| {
        let capabilities = capabilities.iter().map(ToString::to_string).collect();
        WorkerHello { version: VERSION, codec, pid: 4711, capabilities }.to_frame().split_off(4)
    };
    let codecs = vec!["bincode".into(), "json".into()];
    let supervisor =
        SupervisorHello { version: VERSION, codecs, max_frame: 1 << 26, worker: "w2.7".into() };
    let seeds = vec![
        worker(Codec::Json, &[]),
        worker(Codec::Bincode, &[RECORDER, CANCELS]),
        supervisor.to_frame().split_off(4),
    ];
    Target { name: "hellos", seeds, words: JSON }
}

/// Fragments of JSON.
const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "null",
    "true",
    "\"",
    ",",
    ":",
    "\\ud800",
    "\\u0000",
    "1e999",
    "\"type\":",
    "\"version\":",
    "\"codec\":\"json\"",
    "\"payload_base64\":\"AA==\"",
    "\"error\":\"x\"",
];

/// A hello is read back from what is written of it.
fn check_hello(input: &[u8], write: impl Fn(WorkerHello) -> Vec<u8>) -> Checked {
    if let Ok(hello) = SupervisorHello::from_bytes(input)
        && SupervisorHello::from_bytes(&hello.to_frame()[4..]).ok().as_ref() != Some(&hello)
    {
        return Err(format!("{hello:?} is not read back"));
    }
    let Ok(hello) = WorkerHello::from_bytes(input) else { return Ok(Did::Refuse) };
    match WorkerHello::from_bytes(&write(hello.clone())[4..]) {
        Ok(again) if again == hello => Ok(Did::Accept),
        again => Err(format!("{hello:?} is read back as {again:?}")),
    }
}

#[test]
fn any_bytes_are_a_hello_or_refused() {
    hellos().fuzz(|input| check_hello(input, |hello| hello.to_frame()));
}

#[test]
fn a_hello_that_loses_a_capability_would_be_found() {
    hellos().finds(|input| {
        check_hello(input, |mut hello| {
            hello.capabilities.truncate(2);
            hello.to_frame()
        })
    });
}

fn messages() -> Target {
    let failure = Failure {
        kind: FailureKind::Panic,
        message: "index out of bounds".into(),
        place: "src/main.rs:7:5".into(),
    };
    let reply = |result| ToSupervisor::Reply { id: 7, attempt: 2, service_ns: 290, result };
    let up = [
        reply(Ok(Cow::Borrowed(&b"result"[..]))),
        reply(Ok(Cow::Borrowed(&b"\xff\0"[..]))),
        reply(Err(failure)),
        ToSupervisor::Started { id: 7, pid: 4712 },
        ToSupervisor::Output { id: 7, stream: 2, bytes: Cow::Borrowed(b"line\n") },
        ToSupervisor::Progress { id: 7, fraction: 0.5, note: "half".into() },
        ToSupervisor::Bye,
    ];
    let job = |payload: &'static [u8]| ToWorker::Job { id: 7, attempt: 1, payload: payload.into() };
    let cancel = ToWorker::Cancel { id: 7, reason: "memory".into() };
    let down = [job(b"payload"), job(b"\xff\0"), ToWorker::Resume, cancel, ToWorker::Bye];
    let mut seeds = Vec::new();
    for codec in [Codec::Bincode, Codec::Json] {
        let mut add = |write: &dyn Fn(&mut Vec<u8>)| {
            // The first byte selects the codec.
            let mut seed = vec![u8::from(codec == Codec::Json)];
            write(&mut seed);
            seeds.push(seed);
        };
        up.iter().for_each(|message| add(&|out| codec.write_to_supervisor(message, out)));
        down.iter().for_each(|message| add(&|out| codec.write_to_worker(message, out)));
    }
    Target { name: "messages", seeds, words: JSON }
}

/// A message is read back from what is written of it, whatever the bytes it was read from.
fn check_message(input: &[u8], write: impl Fn(Codec, &ToSupervisor<'_>, &mut Vec<u8>)) -> Checked {
    let Some((first, body)) = input.split_first() else { return Ok(Did::Refuse) };
    let codec = if first & 1 == 0 { Codec::Bincode } else { Codec::Json };
    let mut did = Did::Refuse;
    if let Ok(message) = codec.read_to_worker(body) {
        let mut out = Vec::new();
        codec.write_to_worker(&message, &mut out);
        if codec.read_to_worker(&out).ok().as_ref() != Some(&message) {
            return Err(format!("{message:?} is not read back"));
        }
        did = Did::Accept;
    }
    if let Ok(message) = codec.read_to_supervisor(body) {
        let mut out = Vec::new();
        write(codec, &message, &mut out);
        let again = codec.read_to_supervisor(&out);
        if !again.as_ref().is_ok_and(|again| is_same(again, &message)) {
            return Err(format!("{message:?} is read back as {again:?}"));
        }
        did = Did::Accept;
    }
    Ok(did)
}

/// Whether two messages are equal, except that a fraction may lose its last bits in JSON, and one
/// that is not a number is equal to another.
fn is_same(one: &ToSupervisor<'_>, other: &ToSupervisor<'_>) -> bool {
    use ToSupervisor::Progress;
    match (one, other) {
        (Progress { id, fraction, note }, Progress { id: i, fraction: f, note: n }) => {
            let is_near = (fraction - f).abs() <= f.abs() * 1e-9;
            (id, note) == (i, n) && (is_near || fraction.is_nan() && f.is_nan() || fraction == f)
        }
        (one, other) => one == other,
    }
}

#[test]
fn any_bytes_are_a_message_or_refused() {
    let write = |codec: Codec, message: &ToSupervisor<'_>, out: &mut Vec<u8>| {
        codec.write_to_supervisor(message, out);
    };
    messages().fuzz(|input| check_message(input, write));
}

#[test]
fn a_message_whose_number_is_cut_would_be_found() {
    messages().finds(|input| {
        check_message(input, |codec, message, out| {
            let mut message = message.clone();
            if let ToSupervisor::Reply { attempt, .. } = &mut message {
                *attempt &= 0xffff;
            }
            codec.write_to_supervisor(&message, out);
        })
    });
}

/// The words of a page, the position from which it is read, and the beginning of the buffer.
fn pages() -> Target {
    let page = |gate: u64, base: u64, filled: u64, from: u64| {
        let words = [gate, base, filled, from].map(u64::to_le_bytes).concat();
        [&words[..], b"replies in the buffer"].concat()
    };
    let seeds = vec![page(0, 0, 0, 0), page(3 << 1, 100, 21, 104), page(9, 7, 1 << 16, 7)];
    Target { name: "recorder pages", seeds, words: &[] }
}

/// What is read is a part of the buffer as long as the page states, or nothing.
fn check_page(input: &[u8], tail: impl Fn(&Recorder, u64, &mut Vec<u8>) -> Option<()>) -> Checked {
    let Some((words, replies)) = input.split_first_chunk::<32>() else { return Ok(Did::Refuse) };
    let replies = &replies[..replies.len().min(BUFFER_BYTES)];
    let (recorder, memory) = Recorder::create().unwrap();
    let memory = File::from(memory);
    memory.write_all_at(&words[..24], 0).unwrap();
    memory.write_all_at(replies, 4096).unwrap();
    let word = |at: usize| u64::from_le_bytes(words[at..at + 8].try_into().unwrap());
    let (gate, base, filled, from) = (word(0), word(8), word(16), word(24));
    if recorder.running() != (gate >> 1, gate & 1 == 1) {
        return Err(format!("{:?} runs", recorder.running()));
    }
    let mut out = b"before".to_vec();
    let read = tail(&recorder, from, &mut out);
    let read = read.map(|()| out.split_off(6));
    let is_valid = filled <= BUFFER_BYTES as u64 && base <= from;
    let expected = is_valid.then(|| {
        let mut buffer = replies.to_vec();
        buffer.resize(usize::try_from(filled).unwrap(), 0);
        buffer.split_off(buffer.len().min(usize::try_from(from - base).unwrap_or(usize::MAX)))
    });
    if out != b"before" || read != expected {
        return Err(format!("{:?} was read from {from}", read.map(|read| read.len())));
    }
    Ok(if is_valid { Did::Accept } else { Did::Refuse })
}

#[test]
fn any_page_of_a_recorder_is_read_within_its_bounds() {
    pages().fuzz(|input| check_page(input, Recorder::tail));
}

#[test]
fn a_page_that_is_believed_would_be_found() {
    pages().finds(|input| {
        check_page(input, |recorder, from, out| {
            recorder.tail(from, out).or_else(|| recorder.tail(u64::MAX, out))
        })
    });
}
