//! Limits of the fleet, each with its derivation. Edges read them to size what they propose.

/// Rows that one entry touches at most: storage writes them in one batch of its store.
pub const ROWS_MAX: usize = 512;

/// Rows of that number which any entry may need besides its own: the head of the fleet, the answer kept
/// for an idempotency key, the oldest such answer leaving, and the row of the node.
pub const ROWS_RESERVED: usize = 4;

/// Rows more that what an operator asks may need: the head of the audit chain, the record, the oldest leaving.
pub const AUDIT_ROWS: usize = 3;

/// Operations of one node batch: each touches the row of one agent.
pub const OPS_MAX: usize = ROWS_MAX - ROWS_RESERVED;

/// Bytes of one entry, by the counting of [`super::sizes`]: an append stays well under what one
/// replication request carries (4 MiB).
pub const ENTRY_BYTES_MAX: usize = 256 * 1024;

/// Bytes of an entry beside what a proposal counts itself: stamps, the origin's texts, tags.
pub const ENTRY_HEAD_BYTES: usize = 2 * 1024;

/// Marks of one entry: each may touch a delivery and a dispatch. What the rows do not allow is not taken.
pub const MARKS_MAX: usize = 256;

/// Deliveries made, cancelled or expired by one entry; half of the rows, so that dispatches fit as well.
pub const DELIVERIES_STEP: usize = 256;

/// Agents that one expansion looks at: with the slowest selector some milliseconds of `apply`.
pub const EXPAND_LOOKED_AT_MAX: usize = 5_000;

/// Dispatches kept; beyond it the oldest finished one leaves.
pub const DISPATCHES_MAX: usize = 10_000;

/// Dispatches beyond [`DISPATCHES_MAX`] while a large finished one is leaving step by step.
pub const DISPATCHES_SLACK: usize = 1_000;

/// Deliveries kept of all dispatches: four instructions to a full fleet of 250 000, about 200 MB.
pub const DELIVERIES_MAX: usize = 1_000_000;

/// Longest life of a queued delivery: 7 days.
pub const EXPIRY_MAX_MS: u64 = 604_800_000;

/// Shortest life of a queued delivery.
pub const EXPIRY_MIN_MS: u64 = 1_000;

/// Data of one custom message; every dispatch stays in memory.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// Configurations.
pub const CONFIGURATIONS_MAX: usize = 10_000;

/// Versions of one configuration.
pub const VERSIONS_MAX: usize = 1_000;

/// Bytes of the version list of one configuration: it is one row and written whole.
pub const VERSION_LIST_BYTES_MAX: usize = 512 * 1024;

/// Files of one version.
pub const FILES_MAX: usize = 256;

/// Bytes of all file names and content types of one version.
pub const FILE_NAMES_BYTES_MAX: usize = 32 * 1024;

/// Parts of one body: the bits of `BodyMeta::present`.
pub const BODY_PARTS_MAX: u16 = 64;

/// Bytes of one part.
pub const BODY_PART_BYTES_MAX: usize = 256 * 1024;

/// Bytes of one stored body: 1 MiB of files, and of each of 256 files a name and a content type of 1 KiB
/// with 64 bytes of framing.
pub const BODY_BYTES_MAX: usize = 1024 * 1024 + FILES_MAX * (2 * 1024 + 64);

/// Bodies that no version refers to; beyond it the oldest upload leaves.
pub const STAGED_MAX: usize = 1_024;

/// Bytes of one selector, as it counts itself.
///
/// 4 KiB of text, and the tree that is parsed from it, whose texts are no longer than it and whose 2 048
/// shortest values count 3 more.
pub const SELECTOR_BYTES_MAX: usize = 15 * 1024;

/// Groups: `desired` may evaluate each of them.
pub const GROUPS_MAX: usize = 1_000;

/// Agents that one trial remembers as failed, hence the most that `rollout.quarantine_failures` can ask for.
pub const FAILURES_MAX: usize = 1_000;

/// Versions that one group keeps in quarantine; beyond it the oldest leaves.
pub const QUARANTINED_MAX: usize = 16;

/// Agents whose failure one entry forgets.
pub const FORGET_MAX: usize = 256;

/// Operations that a node puts into one batch: each report that fails may touch a group and its rollout as
/// well, and what the rows do not allow is not counted.
pub const OPS_PROPOSED_MAX: usize = 400;

/// Tokens.
pub const TOKENS_MAX: usize = 10_000;

/// Enrollment tokens.
pub const ENROLLMENT_TOKENS_MAX: usize = 10_000;

/// Uses that an enrollment token may have.
pub const TOKEN_USES_MAX: u32 = 1_000_000;

/// Places of enrollment tokens: four full fleets of 250 000, because where uses are counted an agent that was forgotten
/// keeps its place.
pub const ENROLLMENTS_MAX: usize = 1_000_000;

/// Tokens and places that one sweep removes.
pub const SWEEP_STEP: usize = 128;

/// Nodes that are known.
pub const NODES_MAX: usize = 1_000;

/// Renewals of one tick: each touches one row, and the other half of the rows is for nodes that die.
pub const RENEWALS_MAX: usize = 256;

/// Named leases: one for each duty, by names that the program has.
pub const LEASES_MAX: usize = 64;

/// Removed nodes that are remembered one by one.
pub const REMOVED_MAX: usize = 256;

/// The highest id of a node that joins: what every reader of JSON takes for a whole number.
pub const NODE_ID_MAX: u64 = 1 << 53;

/// Join tokens; the oldest that is over makes room.
pub const JOIN_TOKENS_MAX: usize = 64;

/// Nodes that may join with one token: its row stays one small value of the store.
pub const JOIN_USES_MAX: u32 = 64;

/// Idempotency keys kept; beyond it the oldest leaves.
pub const IDEMPOTENCY_MAX: usize = 65_536;

/// Audit records kept; beyond it the oldest leaves: 2 700 changes a day for a year, at most 4 GiB of rows.
pub const AUDIT_RECORDS_MAX: u64 = 1_000_000;

/// Audit records that one entry drops at most.
pub const AUDIT_TRIM_MAX: u16 = 256;

/// The longest downtime that a new leader adds to deadline time: 30 days.
pub const DOWNTIME_MAX_MS: u64 = 2_592_000_000;

/// Bytes of a state in an audit record, before or after; longer ones are given by their hash.
pub const AUDIT_VALUE_BYTES_MAX: usize = 1_200;

/// Bytes of a text in such a state; longer ones are given by their hash.
pub const AUDIT_TEXT_BYTES_MAX: usize = 512;

/// Labels that operators give to one agent, by hand or by its enrollment token.
pub const SERVER_LABELS_MAX: usize = 32;

/// Bytes of their keys and values together: an edge keeps that much of a record free, see
/// [`super::sizes::SERVER_LABELS_ROOM`].
pub const SERVER_LABELS_BYTES_MAX: usize = 512;

/// Bytes of one key, and of one value; both have their length in one byte.
pub const SERVER_LABEL_KEY_BYTES_MAX: usize = 64;

/// See [`SERVER_LABEL_KEY_BYTES_MAX`].
pub const SERVER_LABEL_VALUE_BYTES_MAX: usize = 128;

/// Agents that one entry may forget: each touches one row, and two more for each delivery that waits for it.
pub const AGENTS_STEP: usize = 256;

/// Dispatches that one entry may let go.
pub const DISPATCHES_STEP: usize = 256;

/// Versions of one configuration that stay although nothing refers to them: the newest.
pub const VERSIONS_KEPT: usize = 50;

/// Fleet time for which a finished dispatch stays: 7 days.
pub const DISPATCH_KEPT_MS: u64 = 604_800_000;

/// Fleet time for which the answer to an idempotency key stays: 24 hours.
pub const KEY_KEPT_MS: u64 = 86_400_000;

/// Bytes of a name that is part of a row key, and of an idempotency key.
pub const KEY_BYTES_MAX: usize = 128;

/// Bytes of any other short text: names, addresses, actors, request ids.
pub const TEXT_BYTES_MAX: usize = 256;

/// Bytes of a status, an error text or a comment.
pub const DETAIL_BYTES_MAX: usize = 512;

/// Bytes of a hash that an agent chooses.
pub const OPAQUE_HASH_BYTES_MAX: usize = 64;
