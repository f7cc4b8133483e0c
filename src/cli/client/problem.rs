//! A refusal of the node (`application/problem+json`) as a person reads it: what, where in the request, what to do.

use std::fmt;

use serde::Deserialize;

use super::text::plain;

/// What the node said. Fields that it left out are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Problem {
    pub(super) title: String,
    pub(super) status: u16,
    pub(super) detail: String,
    pub(super) code: String,
    pub(super) retryable: bool,
    pub(super) may_have_taken_effect: String,
    pub(super) request_id: String,
    pub(super) errors: Vec<Place>,
    /// Where the token came from, for those that are about it.
    #[serde(skip)]
    pub(super) token_from: Option<String>,
}

/// One place of a request and what is wrong there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Place {
    pointer: Option<String>,
    line: Option<u64>,
    column: Option<u64>,
    detail: String,
}

impl Problem {
    /// Whether the same request may be sent again by itself. One that may have taken effect carries a key, so that
    /// the node answers the first outcome and does not act twice.
    pub(super) fn may_repeat(&self) -> bool {
        self.retryable && self.may_have_taken_effect != "yes"
    }

    fn hint(&self) -> Option<String> {
        let advice = match self.code.as_str() {
            "unauthenticated" => {
                let from = self.token_from.as_deref().unwrap_or("the command line");
                return Some(format!(
                    "the token from {from} is not known to this node, or it is over"
                ));
            }
            "forbidden" => "use a token of a higher role",
            "agent_connected" => {
                "an agent is forgotten once `ampora agents show UID` says that it is disconnected"
            }
            "agent_not_found" => "`ampora agents list` shows the agents that are known",
            "configuration_not_found" => {
                "`ampora configs list` shows the configurations that there are"
            }
            "version_not_found" => {
                "`ampora configs versions NAME` shows the versions that there are"
            }
            "group_not_found" => "`ampora groups list` shows the groups that there are",
            "dispatch_not_found" => "`ampora dispatch list` shows the dispatches of the last days",
            "token_not_found" => {
                "`ampora tokens list` and `ampora enrollment list` show the tokens that there are"
            }
            "last_admin_token" => "`ampora tokens create NAME --role admin` makes another one",
            "empty_configuration" => {
                "an empty configuration stops a collector; if that is meant, say --allow-empty"
            }
            "invalid_selector" => {
                "a selector is like 'env in (prod,staging), !legacy', or '*' for every agent"
            }
            "too_many_affected" => "--dry-run shows who would change; --max-affected allows more",
            "lacks_capability" => "`ampora agents show UID` lists what the agent can do",
            "not_leader" | "unavailable" | "overloaded" | "node_stopping" => {
                "try again later; `ampora status` says how the node is"
            }
            "internal" => "the log of the node has the cause under the request id",
            _ if self.may_have_taken_effect == "unknown" || self.may_have_taken_effect == "yes" => {
                "it may have taken effect: look before you repeat it"
            }
            _ if self.retryable => "try again later",
            _ => return None,
        };
        Some(advice.to_owned())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = if self.title.is_empty() {
            "the node refused"
        } else {
            &self.title
        };
        f.write_str(&plain(title))?;
        if !self.detail.is_empty() {
            write!(f, ": {}", plain(&self.detail))?;
        }
        for place in &self.errors {
            let where_it_is = place.to_string();
            if where_it_is.is_empty() && place.detail == self.detail {
                continue;
            }
            write!(f, "\n  at {where_it_is}")?;
            if place.detail != self.detail && !place.detail.is_empty() {
                write!(f, ": {}", plain(&place.detail))?;
            }
        }
        write!(f, "\ncode: {} (HTTP {}", plain(&self.code), self.status)?;
        if !self.request_id.is_empty() {
            write!(f, ", request {}", plain(&self.request_id))?;
        }
        f.write_str(")")?;
        match self.hint() {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.pointer
                .as_deref()
                .map(|pointer| plain(pointer).into_owned()),
            self.line.map(|line| format!("line {line}")),
            self.column.map(|column| format!("column {column}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem(body: serde_json::Value) -> Problem {
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn places_code_and_hint_stand_below_what_happened() {
        let text = problem(json!({
            "title": "the selector is not valid", "status": 422, "detail": "a value is missing",
            "code": "invalid_selector", "request_id": "r1",
            "errors": [
                {"pointer": "/query/selector", "line": 1, "column": 5, "detail": "a value is missing"},
                {"pointer": null, "line": 2, "column": null, "detail": "other"},
            ],
        }))
        .to_string();
        assert_eq!(
            text,
            "the selector is not valid: a value is missing\n\
             \u{20} at /query/selector, line 1, column 5\n\
             \u{20} at line 2: other\n\
             code: invalid_selector (HTTP 422, request r1)\n\
             hint: a selector is like 'env in (prod,staging), !legacy', or '*' for every agent"
        );
    }

    #[test]
    fn unknown_code_is_shown_with_what_its_fields_advise() {
        let of = |retryable, effect| {
            problem(json!({
                "title": "t", "code": "later", "status": 500,
                "retryable": retryable, "may_have_taken_effect": effect,
            }))
        };
        assert!(
            of(true, "no")
                .to_string()
                .ends_with("hint: try again later")
        );
        assert!(
            of(false, "unknown")
                .to_string()
                .ends_with("look before you repeat it")
        );
        assert_eq!(of(false, "no").to_string(), "t\ncode: later (HTTP 500)");
        assert!(of(true, "no").may_repeat() && of(true, "unknown").may_repeat());
        assert!(!of(true, "yes").may_repeat() && !of(false, "no").may_repeat());
    }

    #[test]
    fn refused_token_is_named_by_its_place_never_by_its_text() {
        let mut problem =
            problem(json!({"title": "a valid token is needed", "code": "unauthenticated"}));
        problem.token_from = Some("AMPORA_TOKEN".to_owned());
        assert!(
            problem
                .to_string()
                .contains("the token from AMPORA_TOKEN is not known")
        );
    }

    #[test]
    fn words_of_the_node_do_not_steer_the_terminal() {
        let text = problem(json!({"title": "t", "detail": "\u{1b}[2J", "code": "c"})).to_string();
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}
