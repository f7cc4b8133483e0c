//! The OpAMP messages as generated from `opamp/opamp.proto`. It must not know what they mean.

#![expect(
    clippy::doc_markdown,
    reason = "generated code; its comments are those of the schema"
)]

include!(concat!(env!("OUT_DIR"), "/opamp.proto.v1.rs"));
