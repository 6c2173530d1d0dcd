//! Fuzzes the decoder with streams of replies.

use std::mem::{Discriminant, discriminant};

use fuzz::{Checked, Did, Target};

use super::{
    tests::{hello, reply},
    *,
};

const FRAME_BYTES_MAX: usize = 1 << 18;

/// The first byte is the length of the pieces in which the stream arrives.
fn streams() -> Target {
    let failure = wire::Failure {
        kind: wire::FailureKind::Panic,
        message: "as planted".into(),
        place: "src/main.rs:7:5".into(),
    };
    let mut seeds = Vec::new();
    for codec in [Codec::Bincode, Codec::Json] {
        let mut failed = Vec::new();
        let result = Err(failure.clone());
        let message = ToSupervisor::Reply { id: 2, attempt: 1, service_ns: 7, result };
        let write = |body: &mut Vec<u8>| codec.write_to_supervisor(&message, body);
        frame::append(&mut failed, FRAME_BYTES_MAX, write).unwrap();
        let large = reply(codec, 3, &vec![b'x'; LARGE_FRAME_BYTES]);
        let all = [hello(&["recorder"], codec), reply(codec, 1, b"one"), failed];
        seeds.push([&[5][..], &all.concat()].concat());
        seeds.push([&[255][..], &all.concat(), &large, &reply(codec, 4, b"")].concat());
    }
    Target { name: "replies", seeds, words: &["\"type\":", "\"id\":", "null", "{", "}"] }
}

/// Decodes a stream that arrives in pieces of this length.
fn decode(
    stream: &[u8],
    length: usize,
    feed: impl Fn(&mut Decoder, &[u8], &mut Received) -> Result<(), ProtocolFault>,
) -> (Received, Result<(), ProtocolFault>) {
    let (mut decoder, mut received) = (Decoder::new(FRAME_BYTES_MAX, false), Received::default());
    let mut decode = || {
        stream.chunks(length.max(1)).try_for_each(|mut piece| {
            while let (Some((frame, missing)), false) = (decoder.large_frame(), piece.is_empty()) {
                let (part, rest) = piece.split_at(missing.min(piece.len()));
                frame.extend_from_slice(part);
                decoder.large_frame_grew(part.len(), &mut received)?;
                piece = rest;
            }
            feed(&mut decoder, piece, &mut received)
        })
    };
    let end = decode();
    (received, end)
}

/// The text of a fault quotes what has arrived by then, which depends on the reads.
fn fault_kind(end: &Result<(), ProtocolFault>) -> Option<Discriminant<ProtocolFault>> {
    end.as_ref().err().map(discriminant)
}

/// The messages of a stream, and the fault that ends it, do not depend on where reads cut it.
fn check(
    input: &[u8],
    feed: impl Fn(&mut Decoder, &[u8], &mut Received) -> Result<(), ProtocolFault>,
) -> Checked {
    let Some((length, stream)) = input.split_first() else { return Ok(Did::Refuse) };
    let (whole, end) = decode(stream, stream.len(), Decoder::decode_from_pipe);
    let (cut, cut_end) = decode(stream, usize::from(*length) + 1, feed);
    let is_same = whole.replies == cut.replies
        && (whole.started, &whole.output) == (cut.started, &cut.output)
        && fault_kind(&end) == fault_kind(&cut_end);
    match (is_same, end) {
        (false, _) => {
            let counts = (whole.replies.len(), cut.replies.len());
            Err(format!("{counts:?} replies and {end:?}, {cut_end:?} in pieces"))
        }
        (true, Ok(())) => Ok(Did::Accept),
        (true, Err(_)) => Ok(Did::Refuse),
    }
}

#[test]
fn any_stream_is_decoded_in_the_same_way_wherever_it_is_cut() {
    streams().fuzz(|input| check(input, Decoder::decode_from_pipe));
}

#[test]
fn a_decoder_that_loses_a_short_piece_would_be_found() {
    streams().finds(|input| {
        check(input, |decoder, piece, received| match piece {
            [_] => Ok(()),
            piece => decoder.decode_from_pipe(piece, received),
        })
    });
}
