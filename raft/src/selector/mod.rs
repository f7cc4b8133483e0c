//! Selectors: which agents a group or dispatch chooses. Parsed at the edge, evaluated in `apply`; the
//! syntax tree and its evaluation are frozen under the feature level.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A parsed selector with the text it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    /// As written.
    pub source: Arc<str>,
}
