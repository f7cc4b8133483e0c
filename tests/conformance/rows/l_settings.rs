//! L. Connection settings and M. Credentials: not served yet.

use crate::row::{Row, open};

const SETTINGS: &str = "connection settings are not offered yet (a later step)";
const CREDENTIALS: &str = "credentials are not issued to agents yet (a later step)";

pub(crate) const ROWS: &[Row] = &[
    open!(
        143,
        "may",
        "Each kind of connection settings goes only to agents with the bit for it.",
        SETTINGS
    ),
    open!(
        144,
        "derived",
        "Without any kind that applies, connection settings stay unset.",
        SETTINGS
    ),
    open!(
        145,
        "must",
        "The hash is set and covers all settings of the agent, omitted ones too.",
        SETTINGS
    ),
    open!(
        146,
        "derived",
        "The hash is the same on every node and after a restart.",
        SETTINGS
    ),
    open!(
        147,
        "derived",
        "The hash changes with anything in the offer.",
        SETTINGS
    ),
    open!(
        148,
        "MUST",
        "A reported hash that differs is answered with the settings.",
        SETTINGS
    ),
    open!(
        149,
        "derived",
        "An absent status is unknown, not different: what was offered is remembered.",
        SETTINGS
    ),
    open!(
        150,
        "SHOULD NOT",
        "Unchanged settings are not repeated.",
        SETTINGS
    ),
    open!(
        151,
        "derived",
        "An offer carries the complete set that applies.",
        SETTINGS
    ),
    open!(
        152,
        "derived",
        "The status is kept by hash, and a failed hash is not offered again.",
        SETTINGS
    ),
    open!(
        153,
        "derived",
        "A status for an older hash says nothing of the newer one.",
        SETTINGS
    ),
    open!(
        154,
        "derived",
        "OffersConnectionSettings is announced while settings are offered.",
        SETTINGS
    ),
    open!(
        155,
        "derived",
        "Headers may repeat a key; their values are secrets.",
        SETTINGS
    ),
    open!(
        156,
        "MUST",
        "Certificates and keys are PEM and complete.",
        SETTINGS
    ),
    open!(
        157,
        "derived",
        "A certificate in use is repeated when other settings change.",
        SETTINGS
    ),
    open!(
        158,
        "SHOULD",
        "Omitted TLS and proxy settings leave those of the agent alone.",
        SETTINGS
    ),
    open!(159, "MUST", "Proxy settings have a URL.", SETTINGS),
    open!(
        160,
        "derived",
        "TLS versions and cipher suites are written in the forms that agents read.",
        SETTINGS
    ),
    open!(
        161,
        "derived",
        "Verification is never switched off by default.",
        SETTINGS
    ),
    open!(
        162,
        "may",
        "Other connections are offered by name to agents that take them.",
        SETTINGS
    ),
    open!(
        163,
        "must",
        "New credentials are stored before they are offered.",
        CREDENTIALS
    ),
    open!(
        164,
        "MUST",
        "An offer for the connection to us always has a usable endpoint.",
        CREDENTIALS
    ),
    open!(
        165,
        "derived",
        "Such an offer is complete, because clients replace and do not merge.",
        CREDENTIALS
    ),
    open!(
        166,
        "must",
        "Old and new credentials both work until the agent has switched.",
        CREDENTIALS
    ),
    open!(
        167,
        "must",
        "Old credentials end once the new ones were used.",
        CREDENTIALS
    ),
    open!(
        168,
        "derived",
        "Old credentials stay valid for an agent that does not switch.",
        CREDENTIALS
    ),
    open!(
        169,
        "derived",
        "Every node knows a credential before it is offered.",
        CREDENTIALS
    ),
    open!(
        170,
        "derived",
        "An agent that switches stays the same agent.",
        CREDENTIALS
    ),
    open!(
        171,
        "MAY",
        "An agent can be sent to another server.",
        CREDENTIALS
    ),
    open!(
        172,
        "may",
        "A client without credentials can be trusted on first use and approved.",
        CREDENTIALS
    ),
    open!(
        173,
        "may",
        "A bootstrap credential is exchanged for one of the agent's own.",
        CREDENTIALS
    ),
    open!(
        174,
        "may",
        "Revoked credentials end the connection and are refused from then on.",
        CREDENTIALS
    ),
    open!(
        175,
        "MUST",
        "Other destinations hear of revocations.",
        CREDENTIALS
    ),
    open!(
        176,
        "must",
        "Issued certificates are trusted where they are to be used.",
        CREDENTIALS
    ),
    open!(
        177,
        "recommended",
        "The key of the authority is kept elsewhere.",
        CREDENTIALS
    ),
    open!(
        178,
        "derived",
        "Issued certificates have unique serials, an end, and the client's purpose.",
        CREDENTIALS
    ),
    open!(
        179,
        "derived",
        "Offers are limited in rate: each makes the client reconnect.",
        CREDENTIALS
    ),
];
