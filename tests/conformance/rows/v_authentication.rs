//! V. Authentication of agents: not served yet.

use crate::row::{Row, open};

const TOKENS: &str = "agents are not authenticated yet (step 3)";

pub(crate) const ROWS: &[Row] = &[
    open!(
        282,
        "MAY",
        "Clients are authenticated before the upgrade.",
        TOKENS
    ),
    open!(
        283,
        "MUST",
        "Failed authentication is answered 401.",
        TOKENS
    ),
    open!(284, "derived", "A 401 names the scheme.", TOKENS),
    open!(285, "derived", "Every poll is authenticated.", TOKENS),
    open!(
        286,
        "derived",
        "A live WebSocket ends when its credentials do.",
        TOKENS
    ),
    open!(
        287,
        "derived",
        "A credential can be bound to an agent.",
        TOKENS
    ),
    open!(
        288,
        "derived",
        "Tokens are compared in constant time and never logged; TLS is 1.2 or newer.",
        TOKENS
    ),
    open!(289, "derived", "Header names match in any case.", TOKENS),
    open!(290, "derived", "Refusals slow clients down.", TOKENS),
];
