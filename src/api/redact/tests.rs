//! Planted secrets never survive, and text without secrets is not touched.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn shown(text: &str) -> String {
    body(text.as_bytes())
}

#[track_caller]
fn check(given: &str, expected: &str) {
    assert_eq!(shown(given), expected);
}

#[test]
fn values_of_telling_keys_are_hidden_and_layout_stays() {
    check(
        "exporters:\n  otlp:   # to the backend\n    endpoint: a:4317\n    api_key:  \"s3cret\"   # old\n    password: hunter2\n",
        "exporters:\n  otlp:   # to the backend\n    endpoint: a:4317\n    api_key:  [REDACTED]   # old\n    password: [REDACTED]\n",
    );
}

#[test]
fn everything_in_a_map_of_headers_is_hidden() {
    check(
        "headers:\n  x-scope-orgid: tenant1\n  b: ${env:B}\nnext: 1\n",
        "headers:\n  x-scope-orgid: [REDACTED]\n  b: ${env:B}\nnext: 1\n",
    );
    check(
        "headers:\n- key: x-team\n  value: abc\n",
        "headers:\n- key: x-team\n  value: [REDACTED]\n",
    );
}

#[test]
fn references_switches_and_files_stay() {
    let text = "token: ${env:TOKEN}\npassword: ${file:/run/p}\nsecret: $SECRET\nuse_token: true\ntoken_file: /run/t\nauthorization: Bearer ${env:T}\npasswd:\ncredentials: {}\n";
    check(text, text);
}

#[test]
fn block_scalars_flow_maps_and_lists_below_telling_keys_are_hidden() {
    check(
        "secret: |\n  one\n  two\n\nafter: x\n",
        "secret: |\n  [REDACTED]\n\nafter: x\n",
    );
    check(
        "{credentials: {user: me, pass: w}, tokens: [a1, 'b2'], x: 1}",
        "{credentials: {user: [REDACTED], pass: [REDACTED]}, tokens: [[REDACTED], [REDACTED]], x: 1}",
    );
    check(
        "{\"password\": \"p\\\"q\", \"n\": 1}",
        "{\"password\": [REDACTED], \"n\": 1}",
    );
}

#[test]
fn an_alias_hides_its_anchor() {
    check(
        "x: &p hunter2\npassword: *p\ny: &h {a: b1}\nheaders: *h\n",
        "x: &p [REDACTED]\npassword: *p\ny: &h {a: [REDACTED]}\nheaders: *h\n",
    );
}

#[test]
fn a_named_pair_hides_its_value_in_either_order() {
    check(
        "env:\n- value: abc\n  name: API_TOKEN\n- name: LEVEL\n  value: debug\n",
        "env:\n- value: [REDACTED]\n  name: API_TOKEN\n- name: LEVEL\n  value: debug\n",
    );
}

#[test]
fn credentials_and_addresses_are_hidden_anywhere() {
    check(
        "a: postgres://u:p@ss/w@h:5432/db?x=1\nb: http://${env:U}:${env:P}@h/\nc: http://h:80/@x\n# curl -H 'Authorization: Bearer abc.def'\nd: Basic dXNlcjpwdw==\n",
        "a: postgres://u:[REDACTED]@h:5432/db?x=1\nb: http://${env:U}:${env:P}@h/\nc: http://h:80/@x\n# curl -H 'Authorization: [REDACTED]\nd: Basic [REDACTED]\n",
    );
}

#[test]
fn private_keys_are_hidden_and_certificates_stay() {
    let text = "cert: |\n  -----BEGIN CERTIFICATE-----\n  AAAA\n  -----END CERTIFICATE-----\npem: |\n  -----BEGIN EC PRIVATE KEY-----\n  BBBB\n  -----END EC PRIVATE KEY-----\nz: 1\n";
    let shown = shown(text);
    assert!(shown.contains("AAAA") && !shown.contains("BBBB"), "{shown}");
    assert!(shown.ends_with("z: 1\n"), "{shown}");
}

#[test]
fn commented_out_secrets_are_hidden() {
    check(
        "a: 1\n# password: old\nb: 2 # token=xyz\n",
        "a: 1\n# password: [REDACTED]\nb: 2 # token=[REDACTED]\n",
    );
}

#[test]
fn what_cannot_be_parsed_is_judged_by_lines() {
    check(
        "a: [\npassword: hunter2 x\nheaders:\n  k: v1\n  l: v2\nsecret: |\n  deep: er\nb: c\n",
        "a: [\npassword: [REDACTED]\nheaders:\n  k: [REDACTED]\n  l: [REDACTED]\nsecret: [REDACTED]\n  [REDACTED]\nb: c\n",
    );
    check(
        "[db]\npassword = \"x y\"\nhost = \"h\"\n",
        "[db]\npassword = \"[REDACTED]\"\nhost = \"h\"\n",
    );
}

#[test]
fn the_settings_of_a_token_component_are_judged_one_by_one() {
    check(
        "extensions:\n  bearertokenauth/x:\n    scheme: Bearer\n    token: abc1\n",
        "extensions:\n  bearertokenauth/x:\n    scheme: Bearer\n    token: [REDACTED]\n",
    );
}

#[test]
fn json_texts_are_judged_and_component_names_are_not() {
    let mut value =
        json!({"bearertokenauth": {"status": "ok", "e": "GET http://u:pw@h failed: password=abc"}});
    json(&mut value);
    assert_eq!(
        value,
        json!({"bearertokenauth": {"status": "ok", "e": "GET http://u:[REDACTED]@h failed: password=[REDACTED]"}})
    );
}

#[test]
fn bytes_that_are_not_text_do_not_panic() {
    let shown = body(b"\xff\xfepassword: abc\n");
    assert!(!shown.contains("abc"), "{shown}");
}

/// One entry of a generated document.
#[derive(Clone, Debug)]
enum Entry {
    Plain(String, String),
    Section(String, Vec<Entry>),
    Secret(&'static str, usize, &'static str),
}

const SECRET_KEYS: [&str; 8] = [
    "password",
    "api_key",
    "x-api-key",
    "client_secret",
    "Authorization",
    "token",
    "accessKey",
    "private_key",
];

/// The ways in which a secret is planted; `K` is a telling key, `S` the secret, `~` the indent.
const FORMS: [&str; 14] = [
    "K: S",
    "K: \"S\"",
    "K: 'S'",
    "K: |\n~  S\n~  S",
    "K: >-\n~  S",
    "K: [S, S]",
    "K: {inner: S}",
    "K:\n~  deep:\n~  - S",
    "headers: {x-any: S}",
    "headers:\n~- key: any\n~  value: S",
    "uri: https://user:S@host/path",
    "text: Bearer S",
    "# K: S\n~plain: 1",
    "env:\n~- name: API_TOKEN\n~  value: S",
];

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let word = "[a-f][a-n]{0,6}";
    let leaf = prop_oneof![
        (word, "[a-z0-9:/]{1,8}[a-z]").prop_map(|(key, value)| Entry::Plain(key, value)),
        (
            prop::sample::select(&SECRET_KEYS[..]),
            0..FORMS.len(),
            prop::sample::select(&["", "  # note"][..])
        )
            .prop_map(|(key, form, tail)| Entry::Secret(key, form, tail)),
    ];
    let node = leaf.prop_recursive(3, 24, 4, move |inner| {
        (word, prop::collection::vec(inner, 1..4))
            .prop_map(|(key, entries)| Entry::Section(key, entries))
    });
    prop::collection::vec(node, 1..6)
}

/// Writes entries; each key gets a number, because keys of one map are unique.
fn write(entries: &[Entry], indent: usize, secret: Option<&str>, text: &mut String) {
    let pad = " ".repeat(indent);
    for (at, entry) in entries.iter().enumerate() {
        match entry {
            Entry::Plain(key, value) => {
                text.push_str(&format!("{pad}{key}{at}:   {value}x # note\n"));
            }
            Entry::Section(key, inner) => {
                text.push_str(&format!("{pad}{key}{at}:\n"));
                write(inner, indent + 2, secret, text);
            }
            Entry::Secret(key, form, tail) => {
                let Some(secret) = secret else {
                    text.push_str(&format!("{pad}k{at}: 1\n"));
                    continue;
                };
                let tail = if FORMS[*form].contains('\n') {
                    ""
                } else {
                    tail
                };
                let planted = FORMS[*form]
                    .replace('~', &pad)
                    .replace("K:", &format!("{key}:"))
                    .replace('S', secret);
                text.push_str(&format!("{pad}{planted}{tail}\n"));
            }
        }
    }
}

proptest! {
    #[test]
    fn no_planted_secret_survives(
        entries in entries(),
        secret in "[A-Za-z0-9]{2}[A-Z0-9][A-Za-z0-9]{9,20}",
        broken in any::<bool>(),
    ) {
        let mut text = String::new();
        write(&entries, 0, Some(&secret), &mut text);
        if broken {
            text.push_str("z: [\n}");
        }
        let shown = shown(&text);
        prop_assert!(!shown.contains(&secret), "{}\n----\n{}", text, shown);
    }

    #[test]
    fn text_without_secrets_is_byte_identical(entries in entries()) {
        let mut text = String::new();
        write(&entries, 0, None, &mut text);
        prop_assert_eq!(shown(&text), text);
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[a-z:=\"'#\\[{}$ \n\t-]{0,200}") {
        let _ = body(&bytes);
        let _ = body(text.as_bytes());
        let keyed = format!("password: {text}");
        let shown = body(keyed.as_bytes());
        prop_assert!(shown.contains("password"), "{}", shown);
    }
}
