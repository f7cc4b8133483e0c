//! Rows of groups that the server does not serve yet, with the step of the project that brings them.

use crate::row::{Row, open};

const SETTINGS: &str = "connection settings are not offered yet (a later step)";
const CREDENTIALS: &str = "credentials are not issued to agents yet (a later step)";
const REQUESTS: &str =
    "certificate requests are not handled, and 0x40 is not announced (a later step)";
const TELEMETRY: &str = "own telemetry is not offered yet (a later step)";
const PACKAGES: &str = "packages are not offered, and 0x8 is not announced (a later step)";
const TOKENS: &str = "agents are not authenticated yet (step 3)";

/// L. Connection settings, M. Credentials, N. Certificate requests, O. Own telemetry.
pub(crate) const L_TO_O: &[Row] = &[
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

/// Q. Packages.
pub(crate) const Q: &[Row] = &[
    open!(
        216,
        "MUST",
        "Packages go only to agents that accept them.",
        PACKAGES
    ),
    open!(
        217,
        "MUST",
        "The hash of all packages is always set.",
        PACKAGES
    ),
    open!(218, "MUST", "Hashes do not collide in practice.", PACKAGES),
    open!(
        219,
        "must",
        "That hash covers what is managed remotely and nothing else.",
        PACKAGES
    ),
    open!(
        220,
        "SHOULD",
        "The hash of a package covers its fields and its file.",
        PACKAGES
    ),
    open!(
        221,
        "must",
        "The content hash is SHA-256 of the file.",
        PACKAGES
    ),
    open!(
        222,
        "SHOULD",
        "A reported hash that differs is answered with the packages.",
        PACKAGES
    ),
    open!(
        223,
        "derived",
        "An equal hash does not mean installed.",
        PACKAGES
    ),
    open!(
        224,
        "derived",
        "A failed installation is tried again only by a new message.",
        PACKAGES
    ),
    open!(
        225,
        "SHOULD",
        "An offer has all packages: what is missing is deleted by the agent.",
        PACKAGES
    ),
    open!(
        226,
        "derived",
        "No packages with a hash removes all; unset changes nothing.",
        PACKAGES
    ),
    open!(
        227,
        "must",
        "A package has one file and is top-level or an add-on.",
        PACKAGES
    ),
    open!(
        228,
        "derived",
        "All statuses are shown, unknown numbers tolerated.",
        PACKAGES
    ),
    open!(
        229,
        "derived",
        "The error that belongs to no package is shown.",
        PACKAGES
    ),
    open!(
        230,
        "derived",
        "The key names a package, whatever its name field says.",
        PACKAGES
    ),
    open!(
        231,
        "must",
        "A download answers a plain GET with 200 and a length.",
        PACKAGES
    ),
    open!(232, "SHOULD", "Downloads support ranges.", PACKAGES),
    open!(
        233,
        "should",
        "The headers of the offer open the download.",
        PACKAGES
    ),
    open!(
        234,
        "derived",
        "Downloads are not compressed on the way.",
        PACKAGES
    ),
    open!(
        235,
        "derived",
        "URLs stay valid, and signing them does not change hashes.",
        PACKAGES
    ),
    open!(
        236,
        "recommended",
        "Signatures are passed on; their key is elsewhere.",
        PACKAGES
    ),
    open!(
        237,
        "derived",
        "Downloads do not starve the agents' door.",
        PACKAGES
    ),
    open!(
        238,
        "derived",
        "AcceptsPackagesStatus is announced while statuses are processed.",
        PACKAGES
    ),
];

/// V. Authentication.
pub(crate) const V: &[Row] = &[
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
