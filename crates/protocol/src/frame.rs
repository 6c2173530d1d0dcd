//! How are messages told apart in a stream of bytes? Each is a frame: a `u32` little-endian
//! length, then that many bytes. Sans-IO: this file never reads or writes anything but memory.

/// The largest frame body accepted unless a side says otherwise: 64 MiB.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

/// Bytes of the length in front of each frame.
pub const HEADER_BYTES: usize = 4;

/// A length over the agreed cap. Found before anything is allocated for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {length} bytes is over the cap of {cap} bytes")]
pub struct FrameTooLong {
    /// What the header claimed, or what was to be written.
    pub length: usize,
    /// What is allowed.
    pub cap: usize,
}

/// Appends one frame with the body that `write` leaves behind the header.
///
/// # Errors
/// A body over `cap`; `out` is then as it was.
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

/// The body of a frame, and the bytes after it.
pub type Split<'a> = (&'a [u8], &'a [u8]);

/// Takes the first whole frame off `bytes`: its body, and what follows it.
/// `None` while the frame is not whole.
///
/// # Errors
/// A header that claims more than `cap`; the stream cannot be read on.
pub fn split(bytes: &[u8], cap: usize) -> Result<Option<Split<'_>>, FrameTooLong> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    Ok(rest.split_at_checked(length(*header, cap)?))
}

/// Decodes the length of a frame body from its header.
///
/// # Errors
/// The length is over `cap`; the stream cannot be read on.
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
    fn a_hostile_length_is_refused_from_its_header_alone() {
        let fault = split(&[0xff; HEADER_BYTES], 1024).unwrap_err();
        assert_eq!(fault, FrameTooLong { length: 0xffff_ffff, cap: 1024 });
    }

    #[test]
    fn a_body_over_the_cap_leaves_the_buffer_as_it_was() {
        let mut out = vec![7];
        assert!(append(&mut out, 3, |body| body.extend_from_slice(b"four")).is_err());
        assert_eq!(out, [7]);
    }

    proptest! {
        #[test]
        fn frames_survive_a_cut_at_every_byte(
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
        fn garbage_never_panics_nor_reads_past_its_end(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(Some((body, rest))) = split(&bytes, 32) {
                prop_assert!(body.len() <= 32 && body.len() + rest.len() + HEADER_BYTES == bytes.len());
            }
        }
    }
}
