//! Bytes that inflate to far more than they are. They are laid out from one compressed piece, so that making
//! them costs nothing.

use flate2::{Compress, Compression, FlushCompress};

/// What one piece inflates to.
const PIECE_BYTES: usize = 16 * 1024 * 1024;

/// A deflate stream, without its end, of that many times 16 MiB of zeros.
pub(crate) fn deflate(pieces: usize) -> Vec<u8> {
    let zeros = vec![0_u8; PIECE_BYTES];
    let mut piece = Vec::with_capacity(64 * 1024);
    let mut compress = Compress::new(Compression::best(), false);
    compress
        .compress_vec(&zeros, &mut piece, FlushCompress::Full)
        .expect("a compressed piece");
    assert!(piece.len() < piece.capacity(), "the piece is whole");
    piece.repeat(pieces)
}

/// The same as a gzip file without its end.
pub(crate) fn gzip(pieces: usize) -> Vec<u8> {
    let mut bytes = vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255];
    bytes.extend(deflate(pieces));
    bytes
}
