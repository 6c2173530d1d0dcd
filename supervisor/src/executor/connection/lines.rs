//! Decodes the replies of a line worker: a program that answers each line with a line.
//!
//! Such a program knows nothing of the worker protocol. The next line that it writes is the reply to
//! the oldest job that it was sent and has not answered.

use std::collections::VecDeque;

use pool::{
    Answer, Reply,
    exit::{Detail, ProtocolFault},
    job::Payload,
};
use text::{escape::visible_start, units::show_size};

use super::decode::{QUOTED_BYTES, Received};
use process::descriptors::TAIL_BYTES;

/// The state of one line worker's output.
#[derive(Debug)]
pub(super) struct LineDecoder {
    /// The beginning of a line that is not complete yet.
    partial: Vec<u8>,
    /// The jobs that are not answered, oldest first: the id and the attempt.
    jobs: VecDeque<(u64, u32)>,
    line_bytes_max: usize,
}

impl LineDecoder {
    pub(super) fn new(line_bytes_max: usize) -> Self {
        Self { partial: Vec::new(), jobs: VecDeque::new(), line_bytes_max }
    }

    /// Notes a job that was sent.
    pub(super) fn expect(&mut self, id: u64, attempt: u32) {
        self.jobs.push_back((id, attempt));
    }

    /// Decodes bytes that the pipe delivered.
    ///
    /// # Errors
    /// A line answers no job, or is too long. `received` holds the replies before the fault.
    pub(super) fn decode(
        &mut self,
        mut bytes: &[u8],
        received: &mut Received,
    ) -> Result<(), ProtocolFault> {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            self.check_length(line)?;
            let payload = if self.partial.is_empty() {
                Payload::copy(line)
            } else {
                self.partial.extend_from_slice(line);
                Payload::take(std::mem::take(&mut self.partial), 0)
            };
            let Some((id, attempt)) = self.jobs.pop_front() else {
                return Err(without_job(payload.as_bytes()));
            };
            let answer = Answer::Done(payload);
            received.replies.push(Reply { id, attempt, service_ns: 0, answer });
            bytes = rest;
        }
        self.check_length(bytes)?;
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    /// The end of a line that was never completed.
    pub(super) fn unfinished(&self) -> &[u8] {
        &self.partial[self.partial.len().saturating_sub(TAIL_BYTES)..]
    }

    fn check_length(&self, more: &[u8]) -> Result<(), ProtocolFault> {
        if self.partial.len() + more.len() <= self.line_bytes_max {
            return Ok(());
        }
        let max = show_size(self.line_bytes_max as u64);
        let text = format!("a line of more than {max}; allow more with --max-frame");
        Err(ProtocolFault::Invalid(Detail::new(&text)))
    }
}

fn without_job(line: &[u8]) -> ProtocolFault {
    let line = visible_start(line, QUOTED_BYTES);
    let text = format!(
        "a line without a job: `{line}`; a line worker writes one line to stdout for each \
         line that it reads"
    );
    ProtocolFault::Invalid(Detail::new(&text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(received: &Received) -> Vec<(u64, String)> {
        let text = |answer: &Answer| match answer {
            Answer::Done(payload) => String::from_utf8(payload.as_bytes().to_vec()).unwrap(),
            other => panic!("{other:?}"),
        };
        received.replies.iter().map(|reply| (reply.id, text(&reply.answer))).collect()
    }

    proptest! {
        #[test]
        fn lines_answer_jobs_in_order_wherever_the_stream_is_cut(
            lines in prop::collection::vec("[a-z\\r ]{0,30}", 0..9),
            piece in 1usize..40,
        ) {
            let mut decoder = LineDecoder::new(100);
            (1..).zip(&lines).for_each(|(id, _)| decoder.expect(id, 1));
            let stream: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let mut received = Received::default();
            for piece in stream.as_bytes().chunks(piece) {
                decoder.decode(piece, &mut received).unwrap();
            }
            prop_assert_eq!(texts(&received), (1..).zip(lines).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_line_without_a_job_is_a_fault_that_quotes_it() {
        let (mut decoder, mut received) = (LineDecoder::new(100), Received::default());
        decoder.expect(7, 2);
        let fault = decoder.decode(b"one\ntwo\x1b[m\n", &mut received).unwrap_err();
        assert_eq!(texts(&received), [(7, "one".into())]);
        assert!(fault.to_string().starts_with("a line without a job: `two^[[m`"), "{fault}");
    }

    #[test]
    fn a_line_over_the_limit_is_a_fault_before_it_ends() {
        let (mut decoder, mut received) = (LineDecoder::new(8), Received::default());
        decoder.expect(1, 1);
        decoder.decode(b"12345678", &mut received).unwrap();
        assert_eq!(decoder.unfinished(), b"12345678");
        let fault = decoder.decode(b"9", &mut received).unwrap_err();
        assert!(fault.to_string().contains("more than 8"), "{fault}");
    }
}
