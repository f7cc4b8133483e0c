//! Headers, bodies and refusals, byte by byte.

use proptest::prelude::*;

use super::*;
use crate::config::File;

const UID: InstanceUid = InstanceUid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);

fn body(message: &wire::AgentToServer) -> Vec<u8> {
    message.encode_to_vec()
}

fn beat() -> wire::AgentToServer {
    wire::AgentToServer {
        instance_uid: Bytes::copy_from_slice(UID.as_bytes()),
        sequence_num: 300,
        capabilities: 7,
        ..Default::default()
    }
}

fn websocket(parts: &[&[u8]]) -> Result<Incoming, Box<Malformed>> {
    decode_websocket(Bytes::from(parts.concat()))
}

/// A refusal for that reason, addressed to that uid, with a `BadRequest` and nothing else (C-086, C-291).
fn check_refused(result: Result<Incoming, Box<Malformed>>, reason: Reason, uid: &[u8]) {
    let refused = result.unwrap_err();
    assert_eq!(refused.reason, reason);
    let mut reply = refused.reply;
    assert_eq!(reply.instance_uid, uid);
    let error = reply.error_response.take().unwrap();
    assert_eq!(error.r#type(), wire::ServerErrorResponseType::BadRequest);
    assert_eq!(
        error.details, None,
        "when to come back is for overload alone (C-301)"
    );
    assert!(error.error_message.starts_with(&reason.to_string()));
    reply.instance_uid = Bytes::new();
    assert_eq!(*reply, wire::ServerToAgent::default());
}

/// C-010, C-011, C-013.
#[test]
fn a_zero_header_an_overlong_one_and_none_are_accepted() {
    let body = body(&beat());
    let expected = Incoming {
        uid: UID,
        message: beat(),
        digest: digest(&body),
    };
    assert_eq!(websocket(&[&[0x00], &body]).as_ref(), Ok(&expected));
    assert_eq!(websocket(&[&[0x80, 0x00], &body]).as_ref(), Ok(&expected));
    let longest = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
    assert_eq!(websocket(&[&longest, &body]).as_ref(), Ok(&expected));
    assert_eq!(body[0], 0x0A);
    assert_eq!(websocket(&[&body]).as_ref(), Ok(&expected));
    assert_eq!(decode_http(Bytes::from(body)).as_ref(), Ok(&expected));
}

/// C-012, C-294.
#[test]
fn another_header_is_refused_but_its_sender_is_known() {
    let body = body(&beat());
    check_refused(
        websocket(&[&[0x01], &body]),
        Reason::UnknownHeader,
        UID.as_bytes(),
    );
    check_refused(
        websocket(&[&[0x81, 0x01], &body]),
        Reason::UnknownHeader,
        UID.as_bytes(),
    );
}

/// C-015, C-016.
#[test]
fn no_header_and_half_a_header_are_refused() {
    check_refused(websocket(&[]), Reason::Empty, &[]);
    check_refused(websocket(&[&[0x80]]), Reason::Header, &[]);
    check_refused(websocket(&[&[0xFF; 10]]), Reason::Header, &[]);
    check_refused(websocket(&[&[0x80; 11], &[0x00]]), Reason::Header, &[]);
    check_refused(websocket(&[&[0x80; 9], &[0x02]]), Reason::Header, &[]);
}

/// C-014, C-061, C-062, C-063.
#[test]
fn a_uid_is_sixteen_bytes_and_not_zero() {
    check_refused(websocket(&[&[0x00]]), Reason::Uid, &[]);
    check_refused(decode_http(Bytes::new()), Reason::Uid, &[]);
    for uid in [
        &[7; 15][..],
        &[7; 17],
        &[0; 16],
        b"01ARZ3NDEKTSV4RRFFQ69G5FAV",
    ] {
        let message = wire::AgentToServer {
            instance_uid: Bytes::copy_from_slice(uid),
            ..beat()
        };
        check_refused(websocket(&[&[0x00], &body(&message)]), Reason::Uid, uid);
    }
    let huge = wire::AgentToServer {
        instance_uid: Bytes::from(vec![7; 65]),
        ..beat()
    };
    check_refused(decode_http(Bytes::from(body(&huge))), Reason::Uid, &[]);
}

/// C-117, C-291, C-294.
#[test]
fn a_body_that_does_not_decode_is_refused_under_its_uid() {
    let cut = [body(&beat()), vec![0x2A, 0x7F, 0x01]].concat();
    check_refused(
        websocket(&[&[0x00], &cut]),
        Reason::Protobuf,
        UID.as_bytes(),
    );
    // health.last_error = 0xFF, which is not UTF-8.
    let text = [body(&beat()), vec![0x2A, 0x03, 0x1A, 0x01, 0xFF]].concat();
    check_refused(
        websocket(&[&[0x00], &text]),
        Reason::Protobuf,
        UID.as_bytes(),
    );
    check_refused(websocket(&[&[0x00], &[0xFF; 40]]), Reason::Protobuf, &[]);
    // Field 1 after other fields of all wire types.
    let late = [
        &[
            0x10, 0x05, 0x41, 1, 2, 3, 4, 5, 6, 7, 8, 0x45, 1, 2, 3, 4, 0x0A, 16,
        ][..],
        UID.as_bytes(),
        &[0x2A, 0x7F],
    ];
    check_refused(
        websocket(&[&[0x00], &late.concat()]),
        Reason::Protobuf,
        UID.as_bytes(),
    );
}

/// C-117: a health tree, a component tree and an attribute of 200 levels.
#[test]
fn what_nests_too_deep_is_refused() {
    let nest = |wrap: fn(Vec<u8>) -> Vec<u8>| (0..200).fold(Vec::new(), |inner, _| wrap(inner));
    let field = |key: u8, inner: Vec<u8>| {
        let mut out = vec![key];
        prost::encode_length_delimiter(inner.len(), &mut out).unwrap();
        [out, inner].concat()
    };
    let tree = nest(|inner| {
        let mut value = vec![0x12];
        prost::encode_length_delimiter(inner.len(), &mut value).unwrap();
        let entry = [value, inner].concat();
        let mut out = vec![0x32];
        prost::encode_length_delimiter(entry.len(), &mut out).unwrap();
        [out, entry].concat()
    });
    let list = nest(|inner| {
        let mut value = vec![0x0A];
        prost::encode_length_delimiter(inner.len(), &mut value).unwrap();
        let array = [value, inner].concat();
        let mut out = vec![0x2A];
        prost::encode_length_delimiter(array.len(), &mut out).unwrap();
        [out, array].concat()
    });
    let attribute = field(0x1A, field(0x0A, field(0x12, list)));
    for deep in [field(0x2A, tree), attribute] {
        check_refused(
            websocket(&[&[0x00], &body(&beat()), &deep]),
            Reason::Protobuf,
            UID.as_bytes(),
        );
    }
}

/// C-313, C-314, C-316, C-318.
#[test]
fn unknown_fields_unknown_numbers_and_any_order_are_accepted() {
    let unknown = [
        &[0x82, 0x01, 0x01, 0xFF][..],
        &[0xA2, 0x06, 0x02, 1, 2],
        &[0xA8, 0x06, 0x07],
        &[0xB1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0xBD, 0x06, 1, 2, 3, 4],
        &[0x3A, 0x02, 0x10, 77],
    ];
    let sequence_first = [
        vec![0x10, 0x09],
        vec![0x0A, 16],
        UID.as_bytes().to_vec(),
        unknown.concat(),
    ]
    .concat();
    let incoming = decode_http(Bytes::from(sequence_first)).unwrap();
    assert_eq!((incoming.uid, incoming.message.sequence_num), (UID, 9));
    assert_eq!(
        incoming
            .message
            .remote_config_status
            .map(|status| status.status),
        Some(77)
    );

    let twice = wire::AgentDescription {
        identifying_attributes: vec![wire::KeyValue::default()],
        ..Default::default()
    };
    let half = wire::AgentToServer {
        agent_description: Some(twice),
        ..Default::default()
    };
    let merged = decode_http(Bytes::from(
        [body(&beat()), body(&half), body(&half)].concat(),
    ))
    .unwrap();
    assert_eq!(
        merged
            .message
            .agent_description
            .unwrap()
            .identifying_attributes
            .len(),
        2
    );
}

/// C-010: one zero byte, then what decodes; the offer is a field like any other (C-119, C-136, C-137).
#[test]
fn an_offer_encoded_once_is_part_of_every_message() {
    let files = Files::new(vec![
        File {
            name: "b".to_owned(),
            content_type: "text/yaml".to_owned(),
            body: Bytes::from_static(&[0, 0xFF]),
        },
        File {
            name: String::new(),
            ..File::default()
        },
    ])
    .unwrap();
    let offer = encode_offer(&files, [9; 32]);
    let message = wire::ServerToAgent {
        instance_uid: Bytes::copy_from_slice(UID.as_bytes()),
        flags: 1,
        capabilities: 0x17,
        ..Default::default()
    };
    let http = encode_http(&message, Some(&offer));
    let websocket = encode_websocket(&message, Some(&offer));
    assert_eq!(http.len(), encoded_len(&message, Some(&offer)));
    assert_eq!((websocket[0], &websocket[1..]), (0x00, &http[..]));

    let mut decoded = wire::ServerToAgent::decode(http).unwrap();
    let offered = decoded.remote_config.take().unwrap();
    assert_eq!(decoded, message);
    assert_eq!(offered.config_hash, [9; 32].as_slice());
    let map = offered.config.unwrap().config_map;
    assert_eq!(map.keys().collect::<Vec<_>>(), ["", "b"]);
    let file = wire::AgentConfigFile {
        body: Bytes::from_static(&[0, 0xFF]),
        content_type: "text/yaml".to_owned(),
        role: String::new(),
    };
    assert_eq!(map["b"], file, "role stays empty (C-134)");
}

/// An explicit assignment of no files is an empty map, which is present (C-135).
#[test]
fn an_empty_offer_is_explicit() {
    let bytes = encode_http(
        &wire::ServerToAgent::default(),
        Some(&encode_offer(&Files::default(), [1; 32])),
    );
    let offered = wire::ServerToAgent::decode(bytes)
        .unwrap()
        .remote_config
        .unwrap();
    assert_eq!(offered.config, Some(wire::AgentConfigMap::default()));
}

/// C-065.
#[test]
fn a_request_for_a_uid_is_one_flag_among_others() {
    let flagged = |flags: u64| {
        let message = wire::AgentToServer { flags, ..beat() };
        decode_http(Bytes::from(body(&message)))
            .unwrap()
            .requests_uid()
    };
    assert_eq!([0, 1, 2, 3].map(flagged), [false, true, false, true]);
}

/// C-300, C-301.
#[test]
fn overload_is_answered_with_nanoseconds() {
    let reply = refusal(
        Bytes::new(),
        wire::ServerErrorResponseType::Unavailable,
        "busy".to_owned(),
        Some(30_000_000_000),
    );
    let details = reply.error_response.unwrap().details.unwrap();
    let wire::server_error_response::Details::RetryInfo(info) = details;
    assert_eq!(info.retry_after_nanoseconds, 30_000_000_000);
}

/// The value is kept by no one, but it must tell neighbours apart.
#[test]
fn the_digest_sees_every_byte_and_the_length() {
    let base = vec![0_u8; 40];
    let mut seen = vec![digest(&base)];
    for at in 0..40 {
        for bit in 0..8 {
            let mut other = base.clone();
            other[at] ^= 1 << bit;
            seen.push(digest(&other));
        }
    }
    seen.extend((0..40).map(|length| digest(&base[..length])));
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

proptest! {
    /// C-011, C-291: whatever arrives, there is a message or an answer that can be sent.
    #[test]
    fn any_bytes_are_a_message_or_get_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Err(refused) = decode_websocket(Bytes::from(bytes)) {
            let sent = encode_websocket(&refused.reply, None);
            prop_assert_eq!(wire::ServerToAgent::decode(&sent[1..]), Ok(*refused.reply));
        }
    }

    /// The same with bytes that are nearly right.
    #[test]
    fn damaged_messages_are_a_message_or_get_an_answer(at in 0_usize..376, to in any::<u8>(), cut in 0_usize..376) {
        let vector = include_bytes!("../../tests/vectors/agent22-ws-in-01.bin");
        let mut bytes = vector.to_vec();
        bytes[at] = to;
        bytes.truncate(376 - cut / 4);
        match decode_websocket(Bytes::from(bytes)) {
            Ok(incoming) => prop_assert!(!incoming.uid.is_nil()),
            Err(refused) => prop_assert!(refused.reply.error_response.is_some()),
        }
    }
}
