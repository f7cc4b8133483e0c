//! Q. Packages: not served yet.

use crate::row::{Row, open};

const PACKAGES: &str = "packages are not offered, and 0x8 is not announced (a later step)";

pub(crate) const ROWS: &[Row] = &[
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
