//! K. What stands in an offer.

use crate::agent::{Agent, BOTH};
use crate::row::{Row, row};
use crate::server;

pub(crate) const ROWS: &[Row] = &[
    row!(
        132,
        "MUST",
        "File names are unique, and a single file may have an empty one.",
        c_132_file_names
    ),
    row!(
        133,
        "MAY",
        "Files have their content type.",
        c_133_content_type
    ),
    row!(134, "MAY", "The role of a file stays empty.", c_134_no_role),
    row!(
        136,
        "derived",
        "An offer always has the files with the hash.",
        c_136_files_with_the_hash
    ),
    row!(
        137,
        "must",
        "Names and bytes arrive as they were given.",
        c_137_byte_for_byte
    ),
];

fn c_132_file_names() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        server.assign(&agent.label, &[("", "text/yaml", b"a: 1\n")]);
        let files = agent.offer().config.expect("files").config_map;
        assert_eq!(files.into_keys().collect::<Vec<_>>(), [""]);
        server.assign(
            &agent.label,
            &[("b", "text/yaml", b"b: 1\n"), ("a", "text/yaml", b"a: 1\n")],
        );
        let files = agent.offer().config.expect("files").config_map;
        assert_eq!(files.into_keys().collect::<Vec<_>>(), ["a", "b"]);
    }
    let twice = serde_json::json!({"files": [{"name": "a", "body": "x: 1"}, {"name": "a", "body": "y: 1"}]});
    assert_eq!(
        server
            .ask("POST", "/configurations/twice/versions", &twice)
            .0,
        422
    );
}

fn c_133_content_type() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        server.assign(
            &agent.label,
            &[("a", "text/yaml", b"a: 1\n"), ("b", "text/x-other", b"...")],
        );
        let files = agent.offer().config.expect("files").config_map;
        assert_eq!(files["a"].content_type, "text/yaml");
        assert_eq!(files["b"].content_type, "text/x-other");
    }
}

fn c_134_no_role() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        server.assign_yaml(&agent.label, "a: 1\n");
        let files = agent.offer().config.expect("files").config_map;
        assert!(files.values().all(|file| file.role.is_empty()));
    }
}

fn c_136_files_with_the_hash() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        server.assign_yaml(&agent.label, "a: 1\n");
        let first = agent.offer();
        assert_eq!(first.config.expect("files").config_map.len(), 1);
        agent.report(&[1; 32], ampora_proto::wire::RemoteConfigStatuses::Applied);
        let (status, dispatch) = server.dispatch("push_config", agent.uid);
        assert_eq!(status, 202, "{dispatch}");
        agent.offers.clear();
        let again = agent.offer();
        assert_eq!(again.config_hash, first.config_hash);
        assert_eq!(
            again.config.expect("files").config_map.len(),
            1,
            "whole again"
        );
    }
}

fn c_137_byte_for_byte() {
    let server = server::shared();
    let every: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..900_000_u32)
        .map(|at| (at * 7 / 8).to_le_bytes()[0])
        .collect();
    let files: [(&str, &str, &[u8]); 4] = [
        ("every byte", "application/octet-stream", &every),
        ("large", "application/octet-stream", &large),
        (
            "ünï/cödé ☂.yaml",
            "text/plain",
            b"\xEF\xBB\xBFbom and \r\n ends\n\n",
        ),
        ("", "text/plain", b""),
    ];
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let hash = server.assign(&agent.label, &files);
        let offer = agent.offer();
        assert_eq!(offer.config_hash, hash);
        let map = offer.config.expect("files").config_map;
        assert_eq!(map.len(), files.len());
        for (name, content_type, body) in files {
            let file = &map[name];
            assert!(file.body == body, "{via:?}: {name:?}");
            assert_eq!(file.content_type, content_type);
        }
    }
}
