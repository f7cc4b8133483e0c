//! What holds of every message that the server ever sends: each one that this suite reads is looked at.

use std::sync::atomic::{AtomicU64, Ordering};

use ampora_proto::wire::{ServerErrorResponseType, ServerToAgent};
use prost::Message;

/// All bits that the protocol defines for servers.
const DEFINED_BITS: u64 = 0x7F;

static MESSAGES: AtomicU64 = AtomicU64::new(0);

/// How many messages were looked at.
pub(crate) fn messages() -> u64 {
    MESSAGES.load(Ordering::Relaxed)
}

/// Looks at one frame: binary or control, nothing reserved.
pub(crate) fn frame(first: u8, payload: &[u8]) {
    assert!(
        matches!(first & 0x0F, 0x0 | 0x2 | 0x8 | 0x9 | 0xA),
        "servers send binary messages only: {first:#x}"
    );
    assert_eq!(first & 0x70, 0, "nothing was negotiated that uses RSV bits");
    assert!(
        first & 0x08 == 0 || payload.len() <= 125,
        "control frames are short"
    );
}

/// Looks at one message.
pub(crate) fn message(message: &ServerToAgent, body: &[u8]) {
    MESSAGES.fetch_add(1, Ordering::Relaxed);
    assert_eq!(
        message.encoded_len(),
        body.len(),
        "nothing on the wire that the schema does not know"
    );
    assert_eq!(
        message.capabilities & !DEFINED_BITS,
        0,
        "undefined bits are 0"
    );
    if let Some(error) = &message.error_response {
        assert!(
            only(message, |rest| {
                rest.error_response = None;
            }),
            "an error stands alone: {message:?}"
        );
        assert!(
            !error.error_message.is_empty(),
            "an error says what is wrong"
        );
        let unavailable = error.r#type() == ServerErrorResponseType::Unavailable;
        assert!(
            unavailable || error.details.is_none(),
            "only UNAVAILABLE says when to retry"
        );
    }
    if message.command.is_some() {
        assert!(
            only(message, |rest| {
                rest.command = None;
                rest.capabilities = 0;
            }),
            "a command stands alone: {message:?}"
        );
    }
    if let Some(identification) = &message.agent_identification {
        let uid = &identification.new_instance_uid;
        assert!(
            uid.len() == 16 && uid.iter().any(|byte| *byte != 0),
            "a usable uid"
        );
    }
    if let Some(offer) = &message.remote_config {
        assert!(!offer.config_hash.is_empty(), "an offer has its hash");
        assert!(offer.config.is_some(), "an offer has its files");
    }
}

/// Whether nothing but the uid is left when some parts are taken out.
fn only(message: &ServerToAgent, take_out: impl FnOnce(&mut ServerToAgent)) -> bool {
    let mut rest = message.clone();
    take_out(&mut rest);
    rest.instance_uid = Default::default();
    rest == ServerToAgent::default()
}
