//! Names of metrics and values of their labels, each written once; what they mean is promised in the contract.

/// Counter: frames, bodies and connections that were refused; labelled by [`REASON`].
pub const FRAMES_REJECTED: &str = "ampora_opamp_frames_rejected_total";
/// Counter: peers that were cut because they stopped reading; labelled by [`TRANSPORT`].
pub const SLOW_READERS: &str = "ampora_opamp_slow_readers_total";
/// Counter: failures of `accept`, such as no free file descriptor.
pub const ACCEPT_ERRORS: &str = "ampora_opamp_accept_errors_total";

/// Label: why something was rejected.
pub const REASON: &str = "reason";
/// Label: `websocket` or `http`.
pub const TRANSPORT: &str = "transport";

/// [`REASON`]: larger than `opamp.max_message_bytes`, in either direction.
pub const OVERSIZE: &str = "oversize";
/// [`REASON`]: not understood: framing, text frame, content coding.
pub const MALFORMED: &str = "malformed";
/// [`REASON`]: refused to protect the node.
pub const OVERLOAD: &str = "overload";
