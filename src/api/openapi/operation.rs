//! What one operation takes and answers, as it is written down beside its handler.

use std::collections::{BTreeMap, BTreeSet};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, ToSchema};

use crate::api::problem::Code;

/// Named schemas that a type brings.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;

/// What is known of one method of one path beyond what the table of routes says.
pub(crate) struct Operation {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) text: &'static str,
    /// From the types of queries; texts and bounds that all lists share come in when the document is made.
    pub(super) query: Vec<Value>,
    pub(super) headers: Vec<&'static str>,
    /// By media type.
    pub(super) body: BTreeMap<&'static str, Value>,
    pub(super) answers: BTreeMap<u16, Answer>,
    pub(super) codes: BTreeSet<Code>,
    pub(super) taken: Schemas,
    pub(super) shown: Schemas,
}

/// A good answer.
pub(super) struct Answer {
    pub(super) text: &'static str,
    pub(super) content: Option<(&'static str, Value)>,
    pub(super) headers: BTreeMap<&'static str, Header>,
}

/// A header of an answer.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) text: &'static str,
    /// It is always there.
    pub(super) required: bool,
}

impl Operation {
    /// An operation of a path that the table of routes has; `id` is its name in generated clients.
    pub(crate) fn new(
        method: Method,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Operation {
        let tag = path.strip_prefix("/api/v1/").unwrap_or("health");
        Operation {
            method,
            path,
            id,
            tag: tag.split('/').next().unwrap_or(tag),
            summary,
            text: "",
            query: Vec::new(),
            headers: Vec::new(),
            body: BTreeMap::new(),
            answers: BTreeMap::new(),
            codes: BTreeSet::new(),
            taken: Vec::new(),
            shown: Vec::new(),
        }
    }

    /// An operation that reads.
    pub(crate) fn get(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
        Operation::new(Method::GET, path, id, summary)
    }

    /// An operation that changes something through the log: it takes an idempotency key and can meet whatever keeps
    /// the log from answering.
    pub(crate) fn write(
        method: Method,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Operation {
        Operation::new(method, path, id, summary)
            .header("Idempotency-Key")
            .fails(&[
                Code::IdempotencyKeyInvalid,
                Code::IdempotencyKeyReused,
                Code::LimitReached,
                Code::PayloadTooLarge,
                Code::RequestTimeout,
                Code::UnsupportedMediaType,
            ])
            .asks_the_log()
    }

    /// It cannot answer without the log.
    pub(crate) fn asks_the_log(self) -> Operation {
        self.fails(&[
            Code::NodeStopping,
            Code::NotLeader,
            Code::OutcomeUnknown,
            Code::Overloaded,
            Code::Unavailable,
        ])
    }

    /// The same under another heading.
    pub(crate) fn tag(mut self, tag: &'static str) -> Operation {
        self.tag = tag;
        self
    }

    /// The same with more to say than its summary.
    pub(crate) fn says(mut self, text: &'static str) -> Operation {
        self.text = text;
        self
    }

    /// Parameters of the query, by the type that reads them.
    pub(crate) fn query<T: IntoParams>(mut self) -> Operation {
        let parameters = T::into_params(|| Some(ParameterIn::Query));
        self.query = parameters.iter().map(|one| json!(one)).collect();
        for one in &mut self.query {
            never_null(&mut one["schema"]);
            bounded(&mut one["schema"]);
        }
        if self.query.iter().any(|one| one["name"] == "continue") {
            self.codes.insert(Code::ContinueInvalid);
        }
        self.fails(&[Code::InvalidParameter])
    }

    /// A header that it takes.
    pub(crate) fn header(mut self, name: &'static str) -> Operation {
        self.headers.push(name);
        self
    }

    /// A JSON body, by the type that reads it.
    pub(crate) fn takes<T: ToSchema>(mut self, example: &Value) -> Operation {
        let content = json!({"schema": named::<T>(&mut self.taken), "example": example});
        self.body.insert("application/json", content);
        self.fails(&[
            Code::InvalidJson,
            Code::UnsupportedMediaType,
            Code::ValidationFailed,
        ])
    }

    /// A body that is text.
    pub(crate) fn takes_text(mut self, media: &'static str, example: &str) -> Operation {
        let content = json!({"schema": {"type": "string"}, "example": example});
        self.body.insert(media, content);
        self
    }

    /// A JSON answer, by the type that is written.
    pub(crate) fn answers<T: ToSchema>(self, status: u16, text: &'static str) -> Operation {
        self.answers_as::<T>(status, "application/json", text)
    }

    /// An answer of another media type.
    pub(crate) fn answers_as<T: ToSchema>(
        mut self,
        status: u16,
        media: &'static str,
        text: &'static str,
    ) -> Operation {
        let schema = named::<T>(&mut self.shown);
        self.answer(status, text, Some((media, schema)))
    }

    /// An answer without a body.
    pub(crate) fn answers_nothing(self, status: u16, text: &'static str) -> Operation {
        self.answer(status, text, None)
    }

    fn answer(
        mut self,
        status: u16,
        text: &'static str,
        content: Option<(&'static str, Value)>,
    ) -> Operation {
        let headers = BTreeMap::new();
        let answer = Answer {
            text,
            content,
            headers,
        };
        self.answers.insert(status, answer);
        self
    }

    /// A header of its good answers.
    pub(crate) fn with(self, name: &'static str, text: &'static str) -> Operation {
        let required = true;
        self.headed(name, Header { text, required })
    }

    /// A header that its good answers can have.
    pub(crate) fn may_have(self, name: &'static str, text: &'static str) -> Operation {
        let required = false;
        self.headed(name, Header { text, required })
    }

    fn headed(mut self, name: &'static str, header: Header) -> Operation {
        for answer in self.answers.values_mut() {
            answer.headers.insert(name, header);
        }
        self
    }

    /// Codes that it can answer beside those that its other parts bring.
    pub(crate) fn fails(mut self, codes: &[Code]) -> Operation {
        self.codes.extend(codes);
        self
    }

    /// Its codes by status.
    pub(super) fn failures(&self) -> BTreeMap<StatusCode, Vec<Code>> {
        let mut failures: BTreeMap<StatusCode, Vec<Code>> = BTreeMap::new();
        for code in &self.codes {
            failures.entry(code.status()).or_default().push(*code);
        }
        failures
    }
}

/// A parameter that may be absent is never null: a query has no word for that.
fn never_null(schema: &mut Value) {
    if let Some(types) = schema["type"].as_array() {
        let mut types = types.clone();
        types.retain(|one| *one != "null");
        if let [one] = types.as_slice() {
            schema["type"] = one.clone();
        }
    }
}

/// A number that cannot be negative is read into 64 bits.
fn bounded(schema: &mut Value) {
    if schema["type"] == "integer" && schema["minimum"] == 0 && schema["maximum"].is_null() {
        schema["maximum"] = json!(u64::MAX);
    }
}

/// A reference to the schema of a type that has fields, which goes into `into` with all that it refers to; else the
/// schema itself.
fn named<T: ToSchema>(into: &mut Schemas) -> Value {
    let schema = T::schema();
    T::schemas(into);
    let whole = json!(schema);
    if whole.get("properties").is_none() && whole.get("oneOf").is_none() {
        return whole;
    }
    let name = T::name().into_owned();
    let reference = json!({"$ref": format!("#/components/schemas/{name}")});
    into.push((name, schema));
    reference
}
