//! Bytes and a key stream.
use crate::Broken;
use cipher::StreamCipher;

/// Bytes of the key stream that are made at once: as many blocks of AES as any way of the library takes together.
const AT_ONCE: usize = 64 * 16;

/// Encrypts or decrypts with the next bytes of a key stream. The library itself adds AES' byte by byte, which takes
/// longer than AES.
pub fn apply(stream: &mut impl StreamCipher, bytes: &mut [u8]) -> Result<(), Broken> {
    let mut keys = [0; AT_ONCE];
    for piece in bytes.chunks_mut(AT_ONCE) {
        let keys = keys.get_mut(..piece.len()).ok_or(Broken)?;
        stream.try_write_keystream(keys).map_err(|_| Broken)?;
        add(piece, keys);
    }
    Ok(())
}

pub fn add(bytes: &mut [u8], keys: &[u8]) {
    bytes.iter_mut().zip(keys).for_each(|(byte, key)| *byte ^= *key);
}
