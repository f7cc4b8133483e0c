//! The first admin token: made at the first start, kept in a file that only its owner reads, replaced when
//! the file is missing. The fleet holds its hash alone.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ampora_raft::fleet::Fleet;
use ampora_raft::ids::NodeId;
use ampora_raft::records::{Role, Token};

use crate::secrets::{PREFIX, hash, text};

/// The file in the data directory.
pub const FILE: &str = "admin.token";

/// Where the token of a data directory is.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// The token to propose at start, if the file is missing or names a token that the fleet does not have.
/// Proposing it replaces the one before, which thereby stops working.
///
/// What an operator revoked never comes back: only a file that was there at the first start is taken as it is.
///
/// # Errors
/// Fails when the file cannot be read or written.
pub fn renew(
    data_dir: &Path,
    node: NodeId,
    fleet: &Fleet,
    wall_ms: u64,
    random: [u8; 32],
) -> io::Result<Option<Token>> {
    let path = path(data_dir);
    let kept = match std::fs::read_to_string(&path) {
        Ok(kept) => Some(kept.trim_end().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let is_first = fleet.node(node).is_none_or(|node| node.epoch.0 <= 1);
    let text = match kept {
        Some(kept) if fleet.token(&hash(&kept)).is_some() => return Ok(None),
        // laid there beforehand, or written just before a crash and never proposed
        Some(kept) if is_first && kept.starts_with(PREFIX) && kept.len() == text([0; 32]).len() => {
            kept
        }
        Some(_) | None => {
            let fresh = text(random);
            write(&path, &fresh)?;
            fresh
        }
    };
    Ok(Some(Token {
        id: format!("admin-{node}").into(),
        name: "admin".into(),
        role: Role::Admin,
        hash: hash(&text),
        created_ms: wall_ms,
        expires_at_ms: None,
    }))
}

/// Writes the token and a newline beside the file and renames it, so that nobody reads half a token.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("token.new");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn first_start_writes_a_token_that_only_its_owner_reads() {
        let dir = tempfile::tempdir().expect("a directory");
        let token = renew(dir.path(), NodeId(1), &Fleet::default(), 5, [7; 32])
            .expect("written")
            .expect("proposed");
        let kept = std::fs::read_to_string(path(dir.path())).expect("readable");
        assert_eq!(kept, format!("{}\n", text([7; 32])));
        assert_eq!(token.hash, hash(kept.trim_end()));
        let mode = std::fs::metadata(path(dir.path()))
            .expect("there")
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }

    #[test]
    fn a_token_that_was_written_but_not_proposed_is_proposed_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let fleet = Fleet::default();
        let first = renew(dir.path(), NodeId(1), &fleet, 5, [7; 32]).expect("written");
        let second = renew(dir.path(), NodeId(1), &fleet, 5, [8; 32]).expect("written");
        assert_eq!(first, second);
    }
}
