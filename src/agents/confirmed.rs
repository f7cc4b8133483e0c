//! Whether an agent runs a version by its own word.

use ampora_proto::capabilities::agent;
use ampora_raft::ids::ConfigHash;
use ampora_raft::records::{AgentRecord, ConfigStatus};

/// Whether the agent runs this hash by its own word; where it cannot say, the hash that was sent stands for it.
pub fn is_confirmed(record: &AgentRecord, hash: ConfigHash) -> bool {
    if record.capabilities & agent::REPORTS_REMOTE_CONFIG == 0 {
        return record.config.sent_hash == Some(hash);
    }
    record.config.status == ConfigStatus::Applied
        && record.config.reported_hash.as_deref() == Some(&hash.0)
}

/// Whether it takes configuration at all.
pub fn accepts(record: &AgentRecord) -> bool {
    record.capabilities & agent::ACCEPTS_REMOTE_CONFIG != 0
}
