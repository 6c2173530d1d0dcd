//! Messages round-trip in both codecs, the handwritten form equals that of bincode, and hostile bytes
//! are errors.

use std::borrow::Cow;

use proptest::prelude::*;
use protocol::{
    codec::{CodecError, decode, encode},
    frame,
    wire::{Codec, Failure, FailureKind, SupervisorHello, ToSupervisor, ToWorker, WorkerHello},
};
use serde::{Deserialize, Serialize};

/// [`ToWorker`] as bincode has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Downward {
    Job { id: u64, attempt: u32, payload: Vec<u8> },
    Resume,
    Cancel { id: u64, reason: String },
    Bye,
}

/// [`ToSupervisor`] as bincode has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Upward {
    Reply { id: u64, attempt: u32, service_ns: u64, result: Result<Vec<u8>, Fault> },
    Started { id: u64, pid: u32 },
    Output { id: u64, stream: u8, bytes: Vec<u8> },
    Progress { id: u64, fraction: f64, note: String },
    Bye,
}

/// [`Failure`] as bincode has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Fault {
    kind: FailureKind,
    message: String,
    place: String,
}

impl Downward {
    fn wire(&self) -> ToWorker<'_> {
        match self {
            Self::Job { id, attempt, payload } => {
                ToWorker::Job { id: *id, attempt: *attempt, payload: payload.into() }
            }
            Self::Resume => ToWorker::Resume,
            Self::Cancel { id, reason } => ToWorker::Cancel { id: *id, reason: reason.into() },
            Self::Bye => ToWorker::Bye,
        }
    }
}

impl Upward {
    fn wire(&self) -> ToSupervisor<'_> {
        match self {
            Self::Reply { id, attempt, service_ns, result } => ToSupervisor::Reply {
                id: *id,
                attempt: *attempt,
                service_ns: *service_ns,
                result: match result {
                    Ok(result) => Ok(result.into()),
                    Err(Fault { kind, message, place }) => {
                        Err(Failure { kind: *kind, message: message.into(), place: place.into() })
                    }
                },
            },
            Self::Started { id, pid } => ToSupervisor::Started { id: *id, pid: *pid },
            Self::Output { id, stream, bytes } => {
                ToSupervisor::Output { id: *id, stream: *stream, bytes: bytes.into() }
            }
            Self::Progress { id, fraction, note } => {
                ToSupervisor::Progress { id: *id, fraction: *fraction, note: note.into() }
            }
            Self::Bye => ToSupervisor::Bye,
        }
    }
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![prop::collection::vec(any::<u8>(), 0..40), ".*".prop_map(String::into_bytes)]
}

fn downward() -> impl Strategy<Value = Downward> {
    prop_oneof![
        (any::<u64>(), any::<u32>(), payload()).prop_map(|(id, attempt, payload)| Downward::Job {
            id,
            attempt,
            payload
        }),
        Just(Downward::Resume),
        (any::<u64>(), ".*").prop_map(|(id, reason)| Downward::Cancel { id, reason }),
        Just(Downward::Bye),
    ]
}

fn result() -> impl Strategy<Value = Result<Vec<u8>, Fault>> {
    let kind = prop_oneof![Just(FailureKind::Error), Just(FailureKind::Panic)];
    let fault = (kind, ".*", ".*");
    prop_oneof![
        payload().prop_map(Ok),
        fault.prop_map(|(kind, message, place)| Err(Fault { kind, message, place })),
    ]
}

fn upward() -> impl Strategy<Value = Upward> {
    prop_oneof![
        (any::<u64>(), any::<u32>(), any::<u64>(), result()).prop_map(
            |(id, attempt, service_ns, result)| Upward::Reply { id, attempt, service_ns, result }
        ),
        (any::<u64>(), any::<u32>()).prop_map(|(id, pid)| Upward::Started { id, pid }),
        (any::<u64>(), any::<u8>(), payload()).prop_map(|(id, stream, bytes)| Upward::Output {
            id,
            stream,
            bytes
        }),
        (any::<u64>(), 0u16..=1024, ".*").prop_map(|(id, parts, note)| Upward::Progress {
            id,
            fraction: f64::from(parts) / 1024.0,
            note
        }),
        Just(Upward::Bye),
    ]
}

/// Bytes that are nearly a message: small numbers, as in variants and lengths.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![8 => Just(0u8), 3 => 0u8..6, 1 => any::<u8>()];
    prop::collection::vec(byte, 0..72)
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

proptest! {
    #[test]
    fn the_handwritten_form_equals_bincode(down in downward(), up in upward()) {
        let by_hand = written(|out| Codec::Bincode.write_to_worker(&down.wire(), out));
        prop_assert_eq!(&by_hand, &written(|out| encode(&down, out).unwrap()));
        prop_assert_eq!(Codec::Bincode.read_to_worker(&by_hand).unwrap(), down.wire());
        let by_hand = written(|out| Codec::Bincode.write_to_supervisor(&up.wire(), out));
        prop_assert_eq!(&by_hand, &written(|out| encode(&up, out).unwrap()));
        prop_assert_eq!(Codec::Bincode.read_to_supervisor(&by_hand).unwrap(), up.wire());
    }

    #[test]
    fn both_decoders_accept_and_refuse_the_same_bytes(bytes in nearly()) {
        let bincode = decode::<Downward>(&bytes).ok();
        prop_assert_eq!(Codec::Bincode.read_to_worker(&bytes).ok(), bincode.as_ref().map(Downward::wire));
        let bincode = decode::<Upward>(&bytes).ok();
        let by_hand = Codec::Bincode.read_to_supervisor(&bytes).ok();
        // Compared as text, since a NaN is not equal to itself.
        prop_assert_eq!(format!("{by_hand:?}"), format!("{:?}", bincode.as_ref().map(Upward::wire)));
    }

    #[test]
    fn json_round_trips(down in downward(), up in upward()) {
        let json = written(|out| Codec::Json.write_to_worker(&down.wire(), out));
        prop_assert_eq!(Codec::Json.read_to_worker(&json).unwrap(), down.wire());
        let json = written(|out| Codec::Json.write_to_supervisor(&up.wire(), out));
        prop_assert_eq!(Codec::Json.read_to_supervisor(&json).unwrap(), up.wire());
    }

    #[test]
    fn a_truncated_message_is_refused(down in downward(), up in upward(), cut in any::<prop::sample::Index>()) {
        for codec in [Codec::Bincode, Codec::Json] {
            let bytes = written(|out| codec.write_to_worker(&down.wire(), out));
            prop_assert!(codec.read_to_worker(&bytes[..cut.index(bytes.len())]).is_err());
            let bytes = written(|out| codec.write_to_supervisor(&up.wire(), out));
            prop_assert!(codec.read_to_supervisor(&bytes[..cut.index(bytes.len())]).is_err());
        }
    }

    #[test]
    fn garbage_is_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        for codec in [Codec::Bincode, Codec::Json] {
            let _ = (codec.read_to_worker(&bytes), codec.read_to_supervisor(&bytes));
        }
        let _ = (SupervisorHello::from_bytes(&bytes), WorkerHello::from_bytes(&bytes));
    }
}

#[test]
fn a_payload_is_borrowed() {
    let job = ToWorker::Job { id: 7, attempt: 1, payload: Cow::Borrowed(b"plain") };
    for codec in [Codec::Bincode, Codec::Json] {
        let bytes = written(|out| codec.write_to_worker(&job, out));
        let read = codec.read_to_worker(&bytes).unwrap();
        assert!(
            matches!(read, ToWorker::Job { payload: Cow::Borrowed(b"plain"), .. }),
            "{codec:?}"
        );
    }
}

#[test]
fn hostile_lengths_and_trailing_bytes_are_refused() {
    let job = ToWorker::Job { id: 7, attempt: 1, payload: Cow::Borrowed(b"four") };
    let good = written(|out| Codec::Bincode.write_to_worker(&job, out));
    for length in [5, 1 << 31, u64::MAX] {
        let mut bad = good.clone();
        bad[16..24].copy_from_slice(&length.to_le_bytes());
        assert!(matches!(Codec::Bincode.read_to_worker(&bad), Err(CodecError::Short)));
    }
    let more = [&good[..], b"x"].concat();
    assert!(matches!(Codec::Bincode.read_to_worker(&more), Err(CodecError::Trailing(1))));
}

#[test]
fn json_messages_have_the_documented_form() {
    let read = |text: &'static str| Codec::Json.read_to_supervisor(text.as_bytes());
    let reply = |result| ToSupervisor::Reply { id: 1, attempt: 2, service_ns: 0, result };
    for (text, result) in [
        (r#"{"type":"reply","id":1,"attempt":2,"result":"ok"}"#, &b"ok"[..]),
        (r#"{"result":"\u00e9","new":[{}],"attempt":2,"id":1,"type":"reply"}"#, "é".as_bytes()),
        (r#"{"type":"reply","id":1,"attempt":2,"result_base64":"/w=="}"#, &[255]),
        (r#"{"type":"reply","id":1,"attempt":2,"result_base64":"/w"}"#, &[255]),
    ] {
        assert_eq!(read(text).unwrap(), reply(Ok(result.into())), "{text}");
    }
    let failure = Failure { kind: FailureKind::Error, message: "no".into(), place: "".into() };
    let text = r#"{"type":"reply","id":1,"attempt":2,"error":"no"}"#;
    assert_eq!(read(text).unwrap(), reply(Err(failure)));
    let job = ToWorker::Job { id: 1, attempt: 1, payload: Cow::Borrowed(&[255]) };
    let json = written(|out| Codec::Json.write_to_worker(&job, out));
    let text = r#"{"type":"job","id":1,"attempt":1,"payload_base64":"/w=="}"#;
    assert_eq!(str::from_utf8(&json).unwrap(), text);
}

#[test]
fn json_errors_name_the_fault() {
    for (text, word) in [
        (r#"{"type":"greet"}"#, "greet"),
        (r#"{"type":"reply","id":1,"result":"x"}"#, "attempt"),
        (r#"{"type":"reply","id":1,"attempt":1}"#, "\"result\" or \"error\""),
        (r#"{"type":"reply","id":1,"attempt":1,"result":"x","error":"y"}"#, "more than one"),
        (r#"{"type":"reply","id":1,"attempt":1,"result_base64":"?"}"#, "result_base64"),
        (r#"{"type":"reply","id":1,"attempt":1,"result":{}}"#, "expected a string"),
        (r#"{"id":1}"#, "type"),
        ("[]", "JSON"),
    ] {
        let fault = Codec::Json.read_to_supervisor(text.as_bytes()).unwrap_err().to_string();
        assert!(fault.contains(word), "{text}: {fault}");
    }
}

#[test]
fn hellos_are_json_and_name_an_unknown_version() {
    let hello = WorkerHello {
        version: 1,
        codec: Codec::Bincode,
        pid: 7,
        capabilities: vec!["recorder".into()],
    };
    let frame = hello.to_frame();
    let text =
        r#"{"type":"hello","version":1,"codec":"bincode","pid":7,"capabilities":["recorder"]}"#;
    assert_eq!(frame[..4], u32::try_from(text.len()).unwrap().to_le_bytes());
    assert_eq!(&frame[4..], text.as_bytes());
    assert_eq!(WorkerHello::from_bytes(&frame[4..]).unwrap(), hello);
    let hello = SupervisorHello {
        version: 1,
        codecs: vec!["json".into()],
        max_frame: 9,
        worker: "w1.1".into(),
    };
    assert_eq!(SupervisorHello::from_bytes(&hello.to_frame()[4..]).unwrap(), hello);

    let later = br#"{"type":"hello","version":99,"codec":{"any":"thing"}}"#;
    assert_eq!(WorkerHello::from_bytes(later).unwrap().version, 99);
    assert_eq!(SupervisorHello::from_bytes(later).unwrap().version, 99);
    assert!(WorkerHello::from_bytes(br#"{"type":"reply","version":1}"#).is_err());
}

#[test]
fn the_protocol_document_matches_the_code() {
    let page = include_str!("../../../PROTOCOL.md");
    assert!(page.contains(include_str!("../../worker/examples/worker.py")));
    let job = ToWorker::Job { id: 1, attempt: 1, payload: Cow::Borrowed(b"hi") };
    let mut bytes = Vec::new();
    let write = |out: &mut Vec<u8>| Codec::Bincode.write_to_worker(&job, out);
    frame::append(&mut bytes, 99, write).unwrap();
    let example = page.split("```text\n").nth(1).unwrap().split("\n```").next().unwrap();
    let hex = |pair: &str| u8::from_str_radix(pair, 16).unwrap();
    assert_eq!(example.split_whitespace().map(hex).collect::<Vec<_>>(), bytes);

    let cells = page.lines().filter_map(|line| line.strip_prefix("| `{")?.split_once("}`"));
    for (cell, _) in cells {
        let json = format!("{{{cell}}}");
        let is_read = Codec::Json.read_to_worker(json.as_bytes()).is_ok()
            || Codec::Json.read_to_supervisor(json.as_bytes()).is_ok();
        assert!(is_read, "{json}");
    }
    let mut blocks = page.split("```json\n").skip(1).map(|rest| rest.lines().next().unwrap());
    SupervisorHello::from_bytes(blocks.next().unwrap().as_bytes()).unwrap();
    WorkerHello::from_bytes(blocks.next().unwrap().as_bytes()).unwrap();
}
