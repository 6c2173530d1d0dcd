//! Frames, which separate messages in a stream of bytes.
//!
//! A frame is a `u32` little-endian length, then that many bytes of body. The module does no I/O:
//! it reads and writes memory only, so that both ends of a pipe and all tests can use it.

/// The default cap on a frame body: 64 MiB.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

/// The size of a frame's header, which holds the length of its body.
pub const HEADER_BYTES: usize = 4;

/// A frame body longer than the cap. Found before any memory is allocated for the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {length} bytes is over the cap of {cap} bytes")]
pub struct FrameTooLong {
    /// The length of the body in bytes, as the header or the writer states it.
    pub length: usize,
    /// The longest body allowed, in bytes.
    pub cap: usize,
}

/// Appends a frame whose body is what `write` appends.
///
/// # Errors
/// The body is longer than `cap` bytes. `out` is then unchanged.
pub fn append(
    out: &mut Vec<u8>,
    cap: usize,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<(), FrameTooLong> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    write(out);
    let length = out.len() - start - HEADER_BYTES;
    match u32::try_from(length) {
        Ok(header) if length <= cap => {
            out[start..start + HEADER_BYTES].copy_from_slice(&header.to_le_bytes());
            Ok(())
        }
        _ => {
            out.truncate(start);
            Err(FrameTooLong { length, cap })
        }
    }
}

/// The body of a frame, and the bytes that follow the frame.
pub type Split<'a> = (&'a [u8], &'a [u8]);

/// Splits the first frame off `bytes`: returns its body and the bytes that follow it, or `None`
/// if the frame is not complete yet.
///
/// # Errors
/// The header states more than `cap` bytes. The stream cannot be read any further.
pub fn split(bytes: &[u8], cap: usize) -> Result<Option<Split<'_>>, FrameTooLong> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    Ok(rest.split_at_checked(length(*header, cap)?))
}

/// Decodes the length of a frame body from its header.
///
/// # Errors
/// The length is over `cap` bytes. The stream cannot be read any further.
#[inline]
pub fn length(header: [u8; HEADER_BYTES], cap: usize) -> Result<usize, FrameTooLong> {
    let length = u32::from_le_bytes(header) as usize;
    if length > cap {
        return Err(FrameTooLong { length, cap });
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_length_over_the_cap_is_refused_by_its_header_alone() {
        let fault = split(&[0xff; HEADER_BYTES], 1024).unwrap_err();
        assert_eq!(fault, FrameTooLong { length: 0xffff_ffff, cap: 1024 });
    }

    #[test]
    fn a_body_over_the_cap_leaves_the_buffer_unchanged() {
        let mut out = vec![7];
        assert!(append(&mut out, 3, |body| body.extend_from_slice(b"four")).is_err());
        assert_eq!(out, [7]);
    }

    proptest! {
        #[test]
        fn frames_are_split_correctly_wherever_the_stream_is_cut(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut stream = Vec::new();
            for body in &bodies {
                append(&mut stream, 64, |out| out.extend_from_slice(body)).unwrap();
            }
            let cut = cut.index(stream.len() + 1);
            let mut read = Vec::new();
            let mut buffer = stream[..cut].to_vec();
            for more in [&stream[cut..], &[]] {
                while let Some((body, rest)) = split(&buffer, 64).unwrap() {
                    read.push(body.to_vec());
                    buffer = rest.to_vec();
                }
                buffer.extend_from_slice(more);
            }
            prop_assert_eq!(read, bodies);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn garbage_neither_panics_nor_is_read_past_its_end(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(Some((body, rest))) = split(&bytes, 32) {
                prop_assert!(body.len() <= 32 && body.len() + rest.len() + HEADER_BYTES == bytes.len());
            }
        }
    }
}
