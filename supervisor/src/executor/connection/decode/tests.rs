//! Tests of the decoder, alone and with streams cut into random pieces.

use proptest::prelude::*;

use super::*;

const FRAME_BYTES_MAX: usize = 1 << 20;

pub(super) fn hello(capabilities: &[&str], codec: Codec) -> Vec<u8> {
    let capabilities = capabilities.iter().map(ToString::to_string).collect();
    WorkerHello { version: wire::VERSION, codec, pid: 1, capabilities }.to_frame()
}

fn frame(codec: Codec, message: &ToSupervisor<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let write = |body: &mut Vec<u8>| codec.write_to_supervisor(message, body);
    frame::append(&mut bytes, FRAME_BYTES_MAX, write).unwrap();
    bytes
}

pub(super) fn reply(codec: Codec, id: u64, payload: &[u8]) -> Vec<u8> {
    let result = Ok(Cow::Borrowed(payload));
    frame(codec, &ToSupervisor::Reply { id, attempt: 1, service_ns: 7, result })
}

fn answers(received: &Received) -> Vec<(u64, Vec<u8>)> {
    let payload = |answer: &Answer| match answer {
        Answer::Done(payload) => payload.as_bytes().to_vec(),
        other => panic!("{other:?}"),
    };
    received.replies.iter().map(|reply| (reply.id, payload(&reply.answer))).collect()
}

/// Decodes a piece as the reader does: into the buffer of a large frame while there is one.
fn decode_piece(decoder: &mut Decoder, mut bytes: &[u8], received: &mut Received) {
    while !bytes.is_empty() {
        let Some((buffer, missing)) = decoder.large_frame() else {
            return decoder.decode_from_pipe(bytes, received).unwrap();
        };
        let (part, rest) = bytes.split_at(missing.min(bytes.len()));
        buffer.extend_from_slice(part);
        decoder.large_frame_grew(part.len(), received).unwrap();
        bytes = rest;
    }
}

#[test]
fn a_hello_declares_the_codec_and_the_capabilities() {
    let abilities = |names: &[&str], codec| {
        let (mut decoder, mut received) = (Decoder::new(1 << 20, false), Received::default());
        decoder.decode_from_pipe(&hello(names, codec), &mut received).unwrap();
        assert_eq!(decoder.codec(), Some(codec));
        received.hello.unwrap()
    };
    let all = ["recorder", "cancels", "flies"];
    let expected = Abilities { recorder: true, cancels: true, queues: false };
    assert_eq!(abilities(&all, Codec::Bincode), expected);
    assert_eq!(abilities(&all, Codec::Json), Abilities { recorder: false, ..expected });
    assert_eq!(abilities(&[], Codec::Bincode), Abilities::default());
}

#[test]
fn a_protocol_violation_keeps_the_messages_before_it() {
    let fault_of = |bytes: &[u8]| {
        let (mut decoder, mut received) = (Decoder::new(64, false), Received::default());
        let fault = decoder.decode_from_pipe(bytes, &mut received).unwrap_err();
        (fault, received.replies.len())
    };
    let invalid = |text: &str| ProtocolFault::Invalid(Detail::new(text));
    let text = "its first frame is no hello: a \"hello\" without \"type\": `{}`";
    assert_eq!(fault_of(b"\x02\0\0\0{}"), (invalid(text), 0));
    let text = "its first frame is no hello: its header announces 4294967295 bytes, and a hello has \
                at most 65536: `\\xff\\xff\\xff\\xff`";
    assert_eq!(fault_of(&[0xff; 4]), (invalid(text), 0));
    let other = WorkerHello { version: 9, codec: Codec::Json, pid: 1, capabilities: Vec::new() };
    assert_eq!(fault_of(&other.to_frame()), (ProtocolFault::Version(9), 0));
    let begun = [hello(&[], Codec::Bincode), reply(Codec::Bincode, 1, b"one")].concat();
    let garbage = [&begun[..], b"\x01\0\0\0?"].concat();
    let text = "a frame that is no message: the message ends too early: `?`";
    assert_eq!(fault_of(&garbage), (invalid(text), 1));
    let long = [&begun[..], &65u32.to_le_bytes()].concat();
    assert_eq!(fault_of(&long), (ProtocolFault::FrameTooLong(65), 1));
}

#[test]
fn messages_beside_replies_are_reported() {
    let (mut decoder, mut received) = (Decoder::new(1 << 20, false), Received::default());
    let codec = Codec::Json;
    let bytes = Cow::Borrowed(&b"text"[..]);
    let stream = [
        hello(&[], codec),
        frame(codec, &ToSupervisor::Started { id: 4, pid: 99 }),
        frame(codec, &ToSupervisor::Output { id: 4, stream: 2, bytes }),
        frame(codec, &ToSupervisor::Bye),
    ];
    decoder.decode_from_pipe(&stream.concat(), &mut received).unwrap();
    assert_eq!(received.started, Some((4, 99)));
    assert_eq!(received.output, [(4, 2, b"text".to_vec())]);
    assert!(received.replies.is_empty());
}

proptest! {
    #[test]
    fn pieces_of_any_size_decode_to_the_same_messages(
        payloads in prop::collection::vec(prop_oneof![0usize..50, 60_000usize..70_000], 0..8),
        pieces in prop::collection::vec(1usize..40_000, 1..40),
        is_json in any::<bool>(),
    ) {
        let codec = if is_json { Codec::Json } else { Codec::Bincode };
        let expected: Vec<_> = (1..).zip(payloads.iter().map(|n| vec![b'x'; *n])).collect();
        let replies = expected.iter().flat_map(|(id, payload)| reply(codec, *id, payload));
        let stream: Vec<u8> = hello(&[], codec).into_iter().chain(replies).collect();
        let (mut decoder, mut received) =
            (Decoder::new(FRAME_BYTES_MAX, false), Received::default());
        let mut rest = &stream[..];
        for piece in pieces.into_iter().chain(std::iter::repeat(usize::MAX)) {
            let (piece, after) = rest.split_at(piece.min(rest.len()));
            decode_piece(&mut decoder, piece, &mut received);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(answers(&received), expected);
        prop_assert_eq!(decoder.position(), stream.len() as u64);
    }

    #[test]
    fn bytes_from_the_recorder_are_not_decoded_again_from_the_pipe(
        count in 1u64..20,
        cut in 0usize..400,
        pieces in prop::collection::vec(1usize..60, 1..40),
    ) {
        let codec = Codec::Bincode;
        let replies: Vec<u8> = (1..=count).flat_map(|id| reply(codec, id, b"abc")).collect();
        let stream = [hello(&["recorder"], codec), replies].concat();
        let cut = cut.min(stream.len());
        let (mut decoder, mut received) =
            (Decoder::new(FRAME_BYTES_MAX, false), Received::default());
        decoder.decode_from_pipe(&stream[..cut], &mut received).unwrap();
        decoder.decode_from_recorder(&stream[cut..], &mut received).unwrap();
        let mut rest = &stream[cut..];
        for piece in pieces.into_iter().chain(std::iter::repeat(usize::MAX)) {
            let (piece, after) = rest.split_at(piece.min(rest.len()));
            decoder.decode_from_pipe(piece, &mut received).unwrap();
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        decoder.decode_from_pipe(&reply(codec, count + 1, b"abc"), &mut received).unwrap();
        let expected: Vec<_> = (1..=count + 1).map(|id| (id, b"abc".to_vec())).collect();
        prop_assert_eq!(answers(&received), expected);
    }
}
