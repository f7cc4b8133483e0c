//! The files of a configuration version: their limits, the canonical bytes under which they are stored, and
//! the hash by which agents know them. It does not know YAML, agents or versions.

use bytes::{BufMut, Bytes};
use sha2::{Digest, Sha256};

/// All bodies together.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Files in one version.
pub const FILES_MAX: usize = 256;
/// One file name.
pub const NAME_BYTES_MAX: usize = 1024;
/// One content type; real ones have under a hundred bytes.
pub const CONTENT_TYPE_BYTES_MAX: usize = 256;
/// The canonical form is never larger: bodies, and for each file both texts and three lengths.
pub const ENCODED_BYTES_MAX: usize =
    BODY_BYTES_MAX + HEAD_BYTES + FILES_MAX * (NAME_BYTES_MAX + CONTENT_TYPE_BYTES_MAX + 12);

/// Marks the canonical form; the last byte is its version.
const MAGIC: [u8; 4] = *b"amf\x01";
/// The mark and the number of files.
const HEAD_BYTES: usize = MAGIC.len() + 4;

/// One file, opaque bytes (C-137).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// Unique among its files; may be empty (C-132).
    pub name: String,
    /// A MIME type; may be empty (C-133).
    pub content_type: String,
    /// The bytes as given.
    pub body: Bytes,
}

/// Files sorted by name, no name twice, within the limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(Vec<File>);

/// Why files cannot be taken, or stored bytes not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// More than [`FILES_MAX`].
    #[error("more than {FILES_MAX} files")]
    TooMany,
    /// Two files have this name.
    #[error("two files are named {0:?}")]
    Duplicate(String),
    /// A name of more than [`NAME_BYTES_MAX`].
    #[error("a file name is longer than {NAME_BYTES_MAX} bytes")]
    NameTooLong,
    /// A content type of more than [`CONTENT_TYPE_BYTES_MAX`].
    #[error("a content type is longer than {CONTENT_TYPE_BYTES_MAX} bytes")]
    ContentTypeTooLong,
    /// Bodies of more than [`BODY_BYTES_MAX`] in all.
    #[error("the files hold more than {BODY_BYTES_MAX} bytes")]
    TooLarge,
    /// The bytes are not the canonical form of any files.
    #[error("the bytes are not the canonical form of files")]
    NotCanonical,
}

impl Files {
    /// Sorts and checks.
    ///
    /// # Errors
    /// When a limit is exceeded or a name comes twice.
    pub fn new(mut files: Vec<File>) -> Result<Self, FilesError> {
        if files.len() > FILES_MAX {
            return Err(FilesError::TooMany);
        }
        let mut bytes = 0_usize;
        for file in &files {
            if file.name.len() > NAME_BYTES_MAX {
                return Err(FilesError::NameTooLong);
            }
            if file.content_type.len() > CONTENT_TYPE_BYTES_MAX {
                return Err(FilesError::ContentTypeTooLong);
            }
            bytes = bytes.saturating_add(file.body.len());
        }
        if bytes > BODY_BYTES_MAX {
            return Err(FilesError::TooLarge);
        }
        files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        match files.windows(2).find(|pair| pair[0].name == pair[1].name) {
            Some(pair) => Err(FilesError::Duplicate(pair[0].name.clone())),
            None => Ok(Self(files)),
        }
    }

    /// By name.
    pub fn iter(&self) -> std::slice::Iter<'_, File> {
        self.0.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// There are none: offering that stops a collector (C-135).
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all bodies.
    pub fn body_bytes(&self) -> usize {
        self.0.iter().map(|file| file.body.len()).sum()
    }
}

impl<'a> IntoIterator for &'a Files {
    type Item = &'a File;
    type IntoIter = std::slice::Iter<'a, File>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The canonical form: the mark, the number of files, and of each file its name, content type and body, each
/// behind its length, all numbers 32-bit big-endian.
pub fn encode_files(files: &Files) -> Bytes {
    let texts: usize = files
        .iter()
        .map(|file| file.name.len() + file.content_type.len() + 12)
        .sum();
    let mut out = Vec::with_capacity(HEAD_BYTES + texts + files.body_bytes());
    out.extend_from_slice(&MAGIC);
    out.put_u32(length(files.len()));
    for file in files {
        for part in [
            file.name.as_bytes(),
            file.content_type.as_bytes(),
            &file.body,
        ] {
            out.put_u32(length(part.len()));
            out.extend_from_slice(part);
        }
    }
    Bytes::from(out)
}

/// Reads the canonical form; bodies share the memory of `bytes`.
///
/// # Errors
/// When it is anything but what [`encode_files`] writes for files within the limits.
pub fn decode_files(mut bytes: Bytes) -> Result<Files, FilesError> {
    if take(&mut bytes, MAGIC.len())? != MAGIC.as_slice() {
        return Err(FilesError::NotCanonical);
    }
    let count = take_number(&mut bytes)?;
    if count > FILES_MAX {
        return Err(FilesError::TooMany);
    }
    let mut files = Vec::with_capacity(count);
    for _ in 0..count {
        files.push(File {
            name: take_text(&mut bytes)?,
            content_type: take_text(&mut bytes)?,
            body: take_part(&mut bytes)?,
        });
    }
    let sorted = files.is_sorted_by(|a, b| a.name < b.name);
    if !sorted || !bytes.is_empty() {
        return Err(FilesError::NotCanonical);
    }
    Files::new(files)
}

/// What agents echo as `config_hash`: SHA-256 over name, content type, role (always empty) and body of each
/// file in the order of names, each behind its 64-bit big-endian length (C-120).
pub fn hash(files: &Files) -> [u8; 32] {
    let mut sha = Sha256::new();
    for file in files {
        for part in [
            file.name.as_bytes(),
            file.content_type.as_bytes(),
            b"",
            &file.body,
        ] {
            sha.update(u64::from(length(part.len())).to_be_bytes());
            sha.update(part);
        }
    }
    sha.finalize().into()
}

/// Lengths within [`Files`] are far below 2³².
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn take(bytes: &mut Bytes, length: usize) -> Result<Bytes, FilesError> {
    if length > bytes.len() {
        return Err(FilesError::NotCanonical);
    }
    Ok(bytes.split_to(length))
}

fn take_number(bytes: &mut Bytes) -> Result<usize, FilesError> {
    let number = take(bytes, 4)?
        .iter()
        .fold(0, |sum, byte| sum << 8 | u32::from(*byte));
    usize::try_from(number).map_err(|_| FilesError::NotCanonical)
}

fn take_part(bytes: &mut Bytes) -> Result<Bytes, FilesError> {
    let length = take_number(bytes)?;
    take(bytes, length)
}

fn take_text(bytes: &mut Bytes) -> Result<String, FilesError> {
    String::from_utf8(take_part(bytes)?.to_vec()).map_err(|_| FilesError::NotCanonical)
}

#[cfg(test)]
mod tests;
