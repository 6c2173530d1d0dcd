//! Tables of invalid hellos and replies in JSON, as authors of workers write them by mistake: what
//! becomes of the job, and in which words.

use super::*;

/// A worker's answer to job 7, attempt 1, and what the supervisor makes of it.
enum Verdict {
    /// The job is done, with this result.
    Done(&'static str),
    /// The job failed, for a reason that the worker gave.
    Failed(&'static str),
    /// The job fails, because the reply is invalid for this reason. The worker lives on.
    Refused(&'static str),
    /// The worker is ended, for this reason.
    Broken(&'static str),
    /// The message is taken, and answers nothing.
    Taken,
}
use Verdict::{Broken, Done, Failed, Refused, Taken};

fn begun() -> Decoder {
    let (mut decoder, mut received) = (Decoder::new(1 << 20, false), Received::default());
    let hello = br#"{"type":"hello","version":1,"codec":"json","pid":1}"#;
    decoder.decode_from_pipe(&framed(hello), &mut received).unwrap();
    decoder
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame::append(&mut frame, 1 << 20, |out| out.extend_from_slice(body)).unwrap();
    frame
}

fn check(body: &str, expected: &Verdict) {
    let (mut decoder, mut received) = (begun(), Received::default());
    let result = decoder.decode_from_pipe(&framed(body.as_bytes()), &mut received);
    let quoted = format!(": `{}", visible_start(&body.as_bytes()[..body.len().min(20)], 20));
    let answer = match received.replies.pop() {
        Some(reply) => {
            assert_eq!((reply.id, reply.attempt), (7, 1), "{body}");
            Some(reply.answer)
        }
        None => None,
    };
    match (expected, result, answer) {
        (Done(result), Ok(()), Some(Answer::Done(payload))) => {
            assert_eq!(payload.as_bytes(), result.as_bytes(), "{body}");
        }
        (Failed(message), Ok(()), Some(Answer::Failed(failure))) => {
            assert_eq!(failure.message, *message, "{body}");
        }
        (Refused(reason), Ok(()), Some(Answer::Failed(failure))) => {
            let start = format!("its reply is invalid: {reason}");
            assert!(failure.message.starts_with(&start), "{body}\n{}\n{start}", failure.message);
            assert!(failure.message.contains(&quoted), "{body}\n{}", failure.message);
        }
        (Broken(reason), Err(fault), None) => {
            let (fault, start) =
                (fault.to_string(), format!("a frame that is no message: {reason}"));
            assert!(fault.starts_with(&start), "{body}\n{fault}\n{start}");
            assert!(fault.contains(&quoted), "{body}\n{fault}");
        }
        (Taken, Ok(()), None) => {}
        (_, result, answer) => panic!("{body}: {result:?}, {answer:?}"),
    }
}

/// Checks replies of which only the fields after `id` and `attempt` are given.
fn check_rest(cases: &[(&str, Verdict)]) {
    for (rest, expected) in cases {
        check(&format!(r#"{{"type":"reply","id":7,"attempt":1{rest}}}"#), expected);
    }
}

#[test]
fn a_reply_is_read_however_common_runtimes_write_it() {
    for (body, expected) in [
        (r#"{"result":"order","attempt":1,"id":7,"type":"reply"}"#, Done("order")),
        (r#" {"type" : "reply" , "id":7 ,"attempt": 1, "result":"spaces" } "#, Done("spaces")),
        (r#"{"type":"reply","id":7.0,"attempt":1,"result":"float id"}"#, Done("float id")),
        (r#"{"type":"reply","id":7e0,"attempt":1,"result":"exp id"}"#, Done("exp id")),
    ] {
        check(body, &expected);
    }
    check_rest(&[
        (r#","result":"plain""#, Done("plain")),
        (r#","result":"a","error":null"#, Done("a")),
        (r#","result":null,"error":"b""#, Failed("b")),
        (r#","result":"e","foo":{"bar":[1,{"x":null}]},"big":123456789012345678901"#, Done("e")),
        (r#","result":"svc","service_ns":1.5"#, Done("svc")),
        (r#","result":"svc","service_ns":-1"#, Done("svc")),
        (r#","result":"svc","service_ns":99999999999999999999"#, Done("svc")),
        (r#","error":"e","kind":"weird""#, Failed("e")),
        (r#","error":"""#, Failed("")),
        (r#","error":"e","kind":"panic","place":"x.py:3""#, Failed("e")),
        (r#","result_base64":"aGk""#, Done("hi")),
        (r#","result":"\u0000\u001f\u007f""#, Done("\0\u{1f}\u{7f}")),
        (r#","result":"\ud83d\ude00 pair""#, Done("😀 pair")),
    ]);
}

#[test]
fn an_invalid_reply_fails_its_job_and_the_worker_lives_on() {
    check_rest(&[
        (r#","result":{"a":1}"#, Refused(r#""result" must be a string, not an object"#)),
        (r#","result":[1]"#, Refused(r#""result" must be a string, not a list"#)),
        (r#","result":null"#, Refused(r#""result" must be a string, not null"#)),
        (r#","result":42"#, Refused(r#""result" must be a string, not 42"#)),
        (r#","result":true"#, Refused(r#""result" must be a string, not true or false"#)),
        ("", Refused(r#"a "reply" without "result" or "error""#)),
        (r#","result":"a","error":"b""#, Refused(r#"a "reply" with more than one result"#)),
        (r#","result":"dup1","result":"dup2""#, Refused(r#""result" occurs twice"#)),
        (r#","error":{"msg":"x"}"#, Refused(r#""error" must be a string, not an object"#)),
        (r#","error":"e","kind":3"#, Refused(r#""kind" must be a string, not 3"#)),
        (r#","result":"x","service_ns":"9""#, Refused(r#""service_ns" must be a number, not a"#)),
        (
            r#","result_base64":"aG\nk=""#,
            Refused(r#""result_base64" is not base64 in the standard alphabet: Invalid symbol 10"#),
        ),
        (
            r#","result_base64":"_-8=""#,
            Refused(r#""result_base64" is not base64 in the standard alphabet: Invalid symbol 95"#),
        ),
        (
            r#","result":"\ud83d lone""#,
            Refused(r#""result" is not text: unexpected end of hex escape"#),
        ),
        (
            r#","result":"x","progress":NaN"#,
            Refused("not JSON: expected value at line 1 column 60 (JSON has no NaN"),
        ),
    ]);
    for (body, expected) in [
        (
            r#"{"type":"reply","id":7,"attempt":1,"result":"trail"} garbage"#,
            Refused("not JSON: trailing characters at line 1 column"),
        ),
        (
            r#"{"type":"Reply","id":7,"attempt":1,"result":"case"}"#,
            Refused(r#"unknown "type": "Reply""#),
        ),
        (
            r#"{"id":7,"attempt":1,"result":"no type"}"#,
            Refused("not such a message in JSON: missing"),
        ),
        (
            r#"{"result":"\ud83d","id":7,"attempt":1,"type":"reply"}"#,
            Refused(r#""result" is not text"#),
        ),
    ] {
        check(body, &expected);
    }
}

#[test]
fn a_message_that_names_no_job_ends_the_worker_in_words() {
    for (body, expected) in [
        (
            r#"{"type":"reply","id":"7","attempt":1,"result":"string id"}"#,
            Broken(r#""id" must be a whole number that is not negative, not a string"#),
        ),
        (
            r#"{"type":"reply","id":7.5,"attempt":1,"result":"x"}"#,
            Broken(r#""id" must be a whole number that is not negative, not 7.5"#),
        ),
        (
            r#"{"type":"reply","id":7,"id":7,"attempt":1,"result":"dup id"}"#,
            Broken(r#""id" occurs twice"#),
        ),
        (
            r#"{"type":"reply","id":7,"result":"no attempt"}"#,
            Broken(r#"a "reply" without "attempt""#),
        ),
        (r#"{"type":"reply","attempt":1,"result":"no id"}"#, Broken(r#"a "reply" without "id""#)),
        (r#"{"type":"pong"}"#, Broken(r#"unknown "type": "pong""#)),
        (r#"{"type":"hello","version":1}"#, Broken(r#"unknown "type": "hello""#)),
        ("[1,2]", Broken("a message is a JSON object")),
        ("", Broken("not JSON: EOF while parsing a value at line 1 column 0")),
        ("NaN", Broken("not JSON: expected value at line 1 column 1 (JSON has no NaN")),
        (
            r#"{"type":"progress","id":7,"fraction":"half"}"#,
            Broken(r#""fraction" must be a number, not a string"#),
        ),
        (r#"{"type":"progress","id":7,"fraction":2}"#, Taken),
    ] {
        check(body, &expected);
    }
}

#[test]
fn a_reply_in_bincode_with_an_unreadable_result_fails_its_job() {
    let (mut decoder, mut received) = (Decoder::new(1 << 20, false), Received::default());
    let hello = br#"{"type":"hello","version":1,"codec":"bincode","pid":1}"#;
    decoder.decode_from_pipe(&framed(hello), &mut received).unwrap();
    let mut body = [&[0; 4][..], &7u64.to_le_bytes(), &1u32.to_le_bytes(), &[0; 8]].concat();
    body.extend_from_slice(&9u32.to_le_bytes());
    decoder.decode_from_pipe(&framed(&body), &mut received).unwrap();
    let [Reply { id: 7, attempt: 1, answer: Answer::Failed(failure), .. }] = &received.replies[..]
    else {
        panic!("{:?}", received.replies);
    };
    assert!(failure.message.starts_with("its reply is invalid: there is no result 9"));
}

#[test]
fn an_invalid_hello_is_described_by_its_field() {
    let hello = |fields: &str| framed(format!(r#"{{"type":"hello"{fields}}}"#).as_bytes());
    let big_endian = [&[0, 0, 0, 51][..], &hello(r#","version":1,"codec":"json""#)[4..]].concat();
    for (bytes, reason) in [
        (hello(r#","codec":"json","pid":1"#), r#"a "hello" without "version""#),
        (hello(r#","version":"1""#), r#""version" must be a whole number within its range, not a"#),
        (hello(r#","version":1,"pid":1"#), r#"a "hello" without "codec""#),
        (
            hello(r#","version":1,"codec":"msgpack","pid":1"#),
            r#""codec" must be "bincode" or "json", not "msgpack""#,
        ),
        (hello(r#","version":1,"codec":7,"pid":1"#), r#""codec" must be a string, not 7"#),
        (hello(r#","version":1,"codec":"json""#), r#"a "hello" without "pid""#),
        (hello(r#","version":1,"codec":"json","pid":"1""#), r#""pid" must be a whole number"#),
        (hello(r#","version":1,"codec":"json","pid":-1"#), r#""pid" must be a whole number"#),
        (
            hello(r#","version":1,"codec":"json","pid":1,"capabilities":"cancels""#),
            r#""capabilities" must be a list of strings, not a string"#,
        ),
        (framed(br#"{"type":"ready"}"#), r#"unknown "type": "ready""#),
        (framed(br#"{"version":1}"#), r#"a "hello" without "type""#),
        (framed(b"[]"), "not such a message in JSON: invalid type: sequence"),
        (framed(b""), "not such a message in JSON: EOF"),
        (big_endian, "its length is big-endian: it is little-endian, 51 first"),
        (b"hello, world\n".to_vec(), "its header announces 1819043176 bytes"),
    ] {
        let (mut decoder, mut received) = (Decoder::new(1 << 20, false), Received::default());
        let fault = decoder.decode_from_pipe(&bytes, &mut received).unwrap_err().to_string();
        let start = format!("its first frame is no hello: {reason}");
        assert!(fault.starts_with(&start), "{fault}\n{start}");
        assert!(fault.contains(": `"), "{fault}");
    }
    for fields in [
        r#","version":1.0,"codec":"json","pid":1.0"#,
        r#","pid":1,"codec":"json","version":1,"capabilities":null,"more":{"x":[]}"#,
    ] {
        let (mut decoder, mut received) = (Decoder::new(1 << 20, false), Received::default());
        decoder.decode_from_pipe(&hello(fields), &mut received).unwrap();
        assert_eq!(received.hello, Some(Abilities::default()), "{fields}");
    }
}
