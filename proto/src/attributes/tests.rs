//! Attributes, health and components of every kind and depth.

use bytes::Bytes;
use prost::Message;

use super::*;

fn any(value: any_value::Value) -> wire::AnyValue {
    wire::AnyValue { value: Some(value) }
}

fn text_value(text: &str) -> wire::AnyValue {
    any(any_value::Value::StringValue(text.to_owned()))
}

fn pair(key: &str, value: wire::AnyValue) -> wire::KeyValue {
    wire::KeyValue {
        key: key.to_owned(),
        value: Some(value),
    }
}

fn list(values: Vec<wire::AnyValue>) -> wire::AnyValue {
    any(any_value::Value::ArrayValue(wire::ArrayValue { values }))
}

fn map(values: Vec<wire::KeyValue>) -> wire::AnyValue {
    any(any_value::Value::KvlistValue(wire::KeyValueList { values }))
}

/// C-107.
#[test]
fn identifying_wins_then_the_last_and_the_result_is_sorted() {
    let description = wire::AgentDescription {
        identifying_attributes: vec![pair("b", text_value("1")), pair("b", text_value("2"))],
        non_identifying_attributes: vec![
            pair("b", text_value("9")),
            pair("a", text_value("3")),
            pair("a", text_value("4")),
        ],
    };
    let shown: Vec<_> = merged(&description)
        .into_iter()
        .map(|a| (a.key, a.text))
        .collect();
    assert_eq!(
        shown,
        [
            ("a".to_owned(), "4".to_owned()),
            ("b".to_owned(), "2".to_owned())
        ]
    );
}

/// C-106.
#[test]
fn every_kind_of_value_has_a_text() {
    use any_value::Value as Any;
    let check = |value: Option<wire::AnyValue>, expected: (&str, bool)| {
        assert_eq!(text(value.as_ref()), (expected.0.to_owned(), expected.1));
    };
    check(Some(text_value("x \"y\"")), ("x \"y\"", true));
    check(Some(any(Any::BoolValue(true))), ("true", true));
    check(
        Some(any(Any::IntValue(i64::MIN))),
        ("-9223372036854775808", true),
    );
    check(Some(any(Any::DoubleValue(1.5))), ("1.5", true));
    check(Some(any(Any::DoubleValue(f64::NAN))), ("NaN", true));
    check(
        Some(any(Any::BytesValue(Bytes::from_static(&[0, 255])))),
        ("\"AP8=\"", false),
    );
    check(None, ("null", false));
    check(Some(wire::AnyValue { value: None }), ("null", false));
    let nested = list(vec![
        any(Any::DoubleValue(f64::INFINITY)),
        map(vec![pair(
            "k",
            list(vec![any(Any::IntValue(1)), wire::AnyValue { value: None }]),
        )]),
    ]);
    check(Some(nested), (r#"["inf",{"k":[1,null]}]"#, false));
}

#[test]
fn name_type_and_version_follow_the_contract() {
    let uid = InstanceUid::from_u128(7);
    let of = |pairs: &[(&str, &str)]| {
        let identifying_attributes = pairs.iter().map(|(k, v)| pair(k, text_value(v))).collect();
        let description = wire::AgentDescription {
            identifying_attributes,
            ..Default::default()
        };
        identity(&merged(&description), uid)
    };
    assert_eq!(of(&[]).name, uid.to_string());
    assert_eq!(of(&[("service.instance.id", "i")]).name, "i");
    let all = of(&[
        ("service.instance.id", "i"),
        ("host.name", "h"),
        ("service.name", "t"),
        ("service.version", "v"),
    ]);
    assert_eq!(
        (
            all.name.as_str(),
            all.agent_type.as_str(),
            all.agent_version.as_str()
        ),
        ("h", "t", "v")
    );
    assert_eq!(
        of(&[("host.name", ""), ("service.instance.id", "i")]).name,
        "i"
    );
}

#[test]
fn the_fingerprint_sees_where_a_key_ends() {
    let of = |key: &str, text: &str| {
        fingerprint(&[Attribute {
            key: key.to_owned(),
            text: text.to_owned(),
            scalar: true,
        }])
    };
    assert_eq!(of("ab", "c"), of("ab", "c"));
    assert_ne!(of("ab", "c"), of("a", "bc"));
}

/// C-108, C-109, C-110.
#[test]
fn health_has_times_only_where_the_agent_gave_them() {
    let below = wire::ComponentHealth {
        start_time_unix_nano: u64::MAX,
        status_time_unix_nano: 1_700_000_000_123_456_789,
        last_error: "late".to_owned(),
        ..Default::default()
    };
    let health = wire::ComponentHealth {
        healthy: true,
        status: "fine".to_owned(),
        component_health_map: [("pipeline".to_owned(), below)].into(),
        attributes: vec![pair("k", text_value("v"))],
        ..Default::default()
    };
    let expected = json!({
        "healthy": true, "status": "fine", "last_error": "", "start_time": null, "status_time": null,
        "attributes": {"k": "v"},
        "components": {"pipeline": {
            "healthy": false, "status": "", "last_error": "late",
            "start_time": "2554-07-21T23:34:33.709Z", "status_time": "2023-11-14T22:13:20.123Z",
            "components": {},
        }},
    });
    assert_eq!(health_json(&health), expected);
}

#[test]
fn components_keep_their_tree() {
    let leaf = wire::ComponentDetails {
        metadata: vec![pair("v", text_value("1"))],
        ..Default::default()
    };
    let root = wire::ComponentDetails {
        sub_component_map: [("otlp".to_owned(), leaf)].into(),
        ..Default::default()
    };
    let list = wire::AvailableComponents {
        components: [("receivers".to_owned(), root)].into(),
        hash: Bytes::from_static(&[0x0A, 0xFF]),
    };
    let expected = json!({
        "hash": "0aff",
        "components": {"receivers": {"components": {"otlp": {"metadata": {"v": "1"}}}}},
    });
    assert_eq!(components_json(&list), expected);
}

/// C-117, C-261: what the decoder lets through, on a small stack, is shown; deeper does not decode.
#[test]
fn the_deepest_message_is_shown_on_a_small_stack() {
    let health = |depth: usize| {
        let mut health = wire::ComponentHealth::default();
        for _ in 0..depth {
            let map = [("c".to_owned(), health)].into();
            health = wire::ComponentHealth {
                component_health_map: map,
                ..Default::default()
            };
        }
        wire::AgentToServer {
            health: Some(health),
            ..Default::default()
        }
        .encode_to_vec()
    };
    let deepest = (1..100)
        .take_while(|depth| wire::AgentToServer::decode(health(*depth).as_slice()).is_ok())
        .last()
        .unwrap();
    let bytes = health(deepest);
    let show = move || {
        let message = wire::AgentToServer::decode(bytes.as_slice()).unwrap();
        health_json(&message.health.unwrap()).to_string().len()
    };
    let shown = std::thread::Builder::new()
        .stack_size(512 * 1024)
        .spawn(show)
        .unwrap();
    assert!(shown.join().unwrap() > deepest);
    assert!(wire::AgentToServer::decode(health(200).as_slice()).is_err());
}
