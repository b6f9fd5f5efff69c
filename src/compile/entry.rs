//! One entry of the disk cache as bytes: what is written is what is checked when it is read.
//!
//! The layout is a mark with the format's version, the BLAKE3 hash of all that follows, the length of a JSON header in 4
//! little-endian bytes, the header, the machine code (or PTX, if that alone was asked for), and the PTX that machine code was made
//! of. No byte can change without the hash noticing.

use serde::{Deserialize, Serialize};

use super::{Compiled, Resources, Version};

/// The mark of an entry. A change of the layout or of the header's meaning raises the digit, and old entries are compiled anew.
pub(super) const MARK: &[u8; 8] = b"pointw2\n";
const HASH: usize = blake3::OUT_LEN;
const START: usize = MARK.len() + HASH;

/// What an entry says of its bytes.
#[derive(Serialize, Deserialize)]
struct Header {
    nvrtc: Version,
    resources: Option<Resources>,
    log: String,
    /// How many of the bytes at the end are the PTX that the machine code before them was made of.
    ptx: usize,
}

/// The entry's file content.
pub(super) fn encode(compiled: &Compiled) -> Vec<u8> {
    let Compiled { nvrtc, resources, .. } = *compiled;
    let header = Header { nvrtc, resources, log: compiled.log.clone(), ptx: compiled.ptx.len() };
    // Numbers and texts always serialise; an empty header would be refused when read, and the kernel compiled again.
    let header = serde_json::to_vec(&header).unwrap_or_default();
    let length = u32::try_from(header.len()).unwrap_or(0).to_le_bytes();
    let mut hasher = blake3::Hasher::new();
    let parts = [&length[..], &header, &compiled.bytes, &compiled.ptx];
    for part in parts {
        hasher.update(part);
    }
    let mut file = Vec::with_capacity(START + parts.iter().map(|part| part.len()).sum::<usize>());
    file.extend_from_slice(MARK);
    file.extend_from_slice(hasher.finalize().as_bytes());
    parts.iter().for_each(|part| file.extend_from_slice(part));
    file
}

/// The result an entry holds, or what is wrong with it.
pub(super) fn decode(file: &[u8]) -> Result<Compiled, &'static str> {
    let (mark, rest) = file.split_at_checked(MARK.len()).ok_or("it is truncated")?;
    if mark != MARK {
        return Err("it is no cache entry of this version");
    }
    let (hash, rest) = rest.split_at_checked(HASH).ok_or("it is truncated")?;
    if blake3::hash(rest).as_bytes() != hash {
        return Err("its checksum does not match its content");
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or("it is truncated")?;
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let (header, bytes) = rest.split_at_checked(length).ok_or("it is truncated")?;
    let header: Header = serde_json::from_slice(header).map_err(|_| "its header is malformed")?;
    let code = bytes.len().checked_sub(header.ptx).ok_or("its header is malformed")?;
    let (bytes, ptx) = bytes.split_at(code);
    Ok(Compiled {
        bytes: bytes.to_vec(),
        ptx: ptx.to_vec(),
        resources: header.resources,
        log: header.log,
        nvrtc: header.nvrtc,
        from_cache: true,
        micros: 0,
        warnings: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compiled(bytes: Vec<u8>, ptx: Vec<u8>, log: String, registers: Option<u32>) -> Compiled {
        Compiled {
            bytes,
            ptx,
            resources: registers.map(|registers| Resources { registers, ..Resources::default() }),
            log,
            nvrtc: Version { major: 13, minor: 5 },
            from_cache: true,
            micros: 0,
            warnings: Vec::new(),
        }
    }

    proptest! {
        #[test]
        fn an_entry_is_read_back(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            ptx in prop::collection::vec(any::<u8>(), 0..300),
            log in ".*",
            registers in any::<Option<u32>>(),
        ) {
            let compiled = compiled(bytes, ptx, log, registers);
            prop_assert_eq!(decode(&encode(&compiled)), Ok(compiled));
        }

        #[test]
        fn any_damage_is_noticed(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            at in any::<prop::sample::Index>(),
            flip in 1u8..,
            cut in any::<prop::sample::Index>(),
        ) {
            let good = encode(&compiled(bytes, b"ptx".to_vec(), "w".to_owned(), Some(32)));
            let mut flipped = good.clone();
            flipped[at.index(good.len())] ^= flip;
            prop_assert!(decode(&flipped).is_err());
            prop_assert!(decode(&good[..cut.index(good.len())]).is_err());
            let longer = [&good[..], b"x"].concat();
            prop_assert!(decode(&longer).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            let marked = [&MARK[..], blake3::hash(&bytes).as_bytes(), &bytes].concat();
            let _ = decode(&marked);
        }
    }
}
