//! N. Certificate requests and O. Own telemetry: not served yet.

use crate::row::{Row, open};

const REQUESTS: &str =
    "certificate requests are not handled, and 0x40 is not announced (a later step)";
const TELEMETRY: &str = "own telemetry is not offered yet (a later step)";

pub(crate) const ROWS: &[Row] = &[
    open!(
        180,
        "derived",
        "0x40 is announced only while requests are handled.",
        REQUESTS
    ),
    open!(
        181,
        "must",
        "A settings request without content is acknowledged.",
        REQUESTS
    ),
    open!(
        182,
        "derived",
        "A request without its certificate request is refused or ignored.",
        REQUESTS
    ),
    open!(
        183,
        "SHOULD",
        "A certificate request is checked in form, signature, key and names.",
        REQUESTS
    ),
    open!(
        184,
        "SHOULD",
        "A valid request is answered with a certificate.",
        REQUESTS
    ),
    open!(
        185,
        "must",
        "No private key is sent in this flow.",
        REQUESTS
    ),
    open!(
        186,
        "MUST",
        "The authority's certificate comes along.",
        REQUESTS
    ),
    open!(
        187,
        "MAY",
        "Other settings may come along; the endpoint must.",
        REQUESTS
    ),
    open!(
        188,
        "MUST",
        "A refused request is answered with BadRequest.",
        REQUESTS
    ),
    open!(
        189,
        "derived",
        "Approval may take long: acknowledged now, offered later.",
        REQUESTS
    ),
    open!(
        190,
        "must",
        "The same flow renews a certificate at any time.",
        REQUESTS
    ),
    open!(
        191,
        "derived",
        "Repeated requests do not pile up.",
        REQUESTS
    ),
    open!(
        192,
        "MUST",
        "A uid inside a request is the sender's.",
        REQUESTS
    ),
    open!(
        193,
        "must",
        "A uid that differs from the old certificate's is no reason to refuse.",
        REQUESTS
    ),
    open!(
        194,
        "may",
        "The old certificate's uid may be checked against the known previous one.",
        REQUESTS
    ),
    open!(
        195,
        "may",
        "Messages may be checked against the uid of the client certificate.",
        REQUESTS
    ),
    open!(
        196,
        "must",
        "A bootstrap certificate is validated before approval.",
        REQUESTS
    ),
    open!(
        197,
        "SHOULD",
        "Own telemetry settings come with the first message when there is a backend.",
        TELEMETRY
    ),
    open!(
        198,
        "SHOULD",
        "They come again when the destination changes.",
        TELEMETRY
    ),
    open!(
        199,
        "SHOULD NOT",
        "They do not come while unchanged.",
        TELEMETRY
    ),
    open!(
        200,
        "MUST",
        "The endpoint is a full OTLP/HTTP URL with its path.",
        TELEMETRY
    ),
    open!(201, "SHOULD", "The endpoint is https.", TELEMETRY),
    open!(
        202,
        "derived",
        "A restart of the server does not send them again.",
        TELEMETRY
    ),
    open!(
        203,
        "derived",
        "Switching a signal off is an explicit act.",
        TELEMETRY
    ),
    open!(
        204,
        "SHOULD",
        "Telemetry carries the attributes by which agents are known.",
        TELEMETRY
    ),
];
