//! Any bytes as a message of an agent: either a message, or a refusal that can be sent; never a panic, and nothing
//! that depends on how often it is asked.
#![no_main]

use ampora_proto::attributes::{components_json, fingerprint, health_json, identity, merged};
use ampora_proto::capabilities::names;
use ampora_proto::frame::{
    Incoming, Malformed, decode_http, decode_websocket, encode_http, encode_websocket, encoded_len,
};
use ampora_proto::wire;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use prost::Message;

/// A uid that is echoed in a refusal; the decoder's own bound.
const ECHO_BYTES_MAX: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let payload = Bytes::copy_from_slice(bytes);
    let plain = decode_http(payload.clone());
    match &plain {
        Ok(incoming) => understood(incoming),
        Err(refused) => can_be_sent(refused),
    }
    match decode_websocket(payload.clone()) {
        Ok(incoming) => understood(&incoming),
        Err(refused) => can_be_sent(&refused),
    }
    let mut framed = vec![0];
    framed.extend_from_slice(bytes);
    let framed = decode_websocket(Bytes::from(framed));
    match (plain, framed) {
        (Ok(plain), Ok(framed)) => {
            assert_eq!((plain.uid, plain.digest), (framed.uid, framed.digest));
            assert_eq!(
                plain.message.encode_to_vec(),
                framed.message.encode_to_vec()
            );
        }
        (Err(plain), Err(framed)) => assert_eq!(plain, framed),
        (plain, framed) => panic!("one transport understands: {plain:?} {framed:?}"),
    }
});

fn understood(incoming: &Incoming) {
    assert!(!incoming.uid.is_nil());
    let message = &incoming.message;
    assert_eq!(
        incoming.uid.as_bytes().as_slice(),
        &message.instance_uid[..]
    );
    let again = Bytes::from(message.encode_to_vec());
    let once_more = decode_http(again.clone()).expect("what was understood is written so");
    assert_eq!(once_more.message.encode_to_vec(), again);
    assert_eq!(once_more.requests_uid(), incoming.requests_uid());
    said(message, incoming);
}

/// What the node makes of the parts.
fn said(message: &wire::AgentToServer, incoming: &Incoming) {
    names(message.capabilities);
    if let Some(description) = &message.agent_description {
        let attributes = merged(description);
        assert!(attributes.is_sorted_by(|a, b| a.key < b.key));
        assert_eq!(fingerprint(&attributes), fingerprint(&merged(description)));
        identity(&attributes, incoming.uid);
    }
    if let Some(health) = &message.health {
        health_json(health);
    }
    if let Some(components) = &message.available_components {
        components_json(components);
    }
}

fn can_be_sent(refused: &Malformed) {
    let reply = &*refused.reply;
    let error = reply.error_response.as_ref().expect("a refusal says why");
    assert_eq!(error.r#type(), wire::ServerErrorResponseType::BadRequest);
    assert!(reply.instance_uid.len() <= ECHO_BYTES_MAX);
    let body = encode_http(reply, None);
    assert_eq!(body.len(), encoded_len(reply, None));
    assert_eq!(encode_websocket(reply, None)[1..], body);
    assert_eq!(wire::ServerToAgent::decode(body).as_ref(), Ok(reply));
}
