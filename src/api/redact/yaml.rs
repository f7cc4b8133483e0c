//! Secrets of a YAML text by its structure: a walk over parser events that keeps one frame per open collection.

use std::collections::BTreeMap;

use serde_saphyr::granit_parser::{Event, Parser};

use super::{Span, patterns, words};

/// Why the scalars of a collection are hidden, or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shade {
    /// Below a key that tells of a secret.
    secret: bool,
    /// Below a key of headers.
    headers: bool,
}

/// One open collection.
#[derive(Debug)]
struct Frame {
    shade: Shade,
    is_map: bool,
    /// The key whose value comes next; in a map alone.
    key: Option<String>,
    /// A key that is a collection is under way; its parts are judged like values.
    expects_value: bool,
    /// A sibling such as `name: API_TOKEN` tells that `value` is a secret.
    names_secret: bool,
    /// Where `value` of such a pair is.
    values: Vec<Span>,
    anchor: usize,
    /// How many leaves there were when it was opened.
    leaves_before: usize,
    in_sequence: bool,
}

#[derive(Default)]
struct Walk {
    frames: Vec<Frame>,
    /// Spans of all scalars that are values, in order.
    leaves: Vec<Span>,
    /// The leaves of each anchor.
    anchors: BTreeMap<usize, std::ops::Range<usize>>,
    found: Vec<Span>,
    /// Where the scalar before ended: comments are in the gaps.
    gap_from: usize,
}

/// Spans of secrets; `None` when the text is not YAML.
pub(super) fn spans(text: &str) -> Option<Vec<Span>> {
    let mut walk = Walk::default();
    let mut is_structured = false;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.ok()?;
        let span = span.start.byte_offset()?..span.end.byte_offset()?;
        match event {
            Event::Scalar(value, _, anchor, _) => {
                walk.gap(text, span.start);
                walk.gap_from = span.end.max(walk.gap_from);
                walk.scalar(text, &value, trimmed(text, span), anchor);
            }
            Event::MappingStart(_, anchor, _) => {
                is_structured = true;
                walk.open(true, anchor);
            }
            Event::SequenceStart(_, anchor, _) => {
                is_structured = true;
                walk.open(false, anchor);
            }
            Event::MappingEnd | Event::SequenceEnd => walk.close(),
            Event::Alias(anchor) => walk.alias(anchor),
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd => {}
            Event::Anchor(..) | Event::UnresolvedAlias(_) | _ => return None,
        }
    }
    walk.gap(text, text.len());
    // One scalar is what any text at all looks like: lines judge it better.
    is_structured.then_some(walk.found)
}

/// Without the white space that ends a block scalar.
fn trimmed(text: &str, span: Span) -> Span {
    let end = span.start + text[span.clone()].trim_end().len();
    span.start..end
}

impl Walk {
    /// What the next node is shaded by, and the key that it belongs to.
    fn shade(&self) -> Shade {
        let Some(frame) = self.frames.last() else {
            return Shade::default();
        };
        let mut shade = frame.shade;
        if let Some(key) = frame.key.as_deref().filter(|_| frame.expects_value) {
            shade.secret |= words::is_secret(key);
            shade.headers |= words::is_headers(key);
        }
        shade
    }

    fn scalar(&mut self, text: &str, value: &str, span: Span, anchor: usize) {
        if let Some(frame) = self.frames.last_mut()
            && frame.is_map
            && !frame.expects_value
        {
            frame.key = Some(value.to_owned());
            frame.expects_value = true;
            patterns::pairs(text, span, &mut self.found);
            return;
        }
        let shade = self.shade();
        let at = self.leaves.len();
        self.leaves.push(span.clone());
        if anchor != 0 {
            self.anchors.insert(anchor, at..at + 1);
        }
        let hidden = shade.secret || shade.headers && !self.is_header_name();
        if !words::is_harmless(value) && hidden {
            self.found.push(span);
        } else {
            self.named(value, &span);
            self.embedded(text, span);
        }
        self.value_done();
    }

    /// In lists such as `headers: [{key: X, value: Y}]` the name of a header is no secret.
    fn is_header_name(&self) -> bool {
        self.frames.last().is_some_and(|frame| {
            frame.in_sequence && matches!(frame.key.as_deref(), Some("key" | "name" | "action"))
        })
    }

    /// Pairs such as `{name: API_TOKEN, value: …}`.
    fn named(&mut self, value: &str, span: &Span) {
        let Some(frame) = self.frames.last_mut().filter(|frame| frame.is_map) else {
            return;
        };
        match frame.key.as_deref() {
            Some("name" | "key") => frame.names_secret |= words::is_secret(value),
            Some("value") if !words::is_harmless(value) => frame.values.push(span.clone()),
            Some(_) | None => {}
        }
    }

    /// A text within the document may be a document of its own.
    fn embedded(&mut self, text: &str, span: Span) {
        if text[span.clone()].contains('\n') {
            let mut inner = Vec::new();
            patterns::lines(&text[span.clone()], &mut inner);
            let shifted = inner
                .into_iter()
                .map(|found| found.start + span.start..found.end + span.start);
            self.found.extend(shifted);
        } else {
            patterns::pairs(text, span, &mut self.found);
        }
    }

    /// Comments in the gap between two scalars.
    fn gap(&mut self, text: &str, to: usize) {
        if to <= self.gap_from {
            return;
        }
        let gap = &text[self.gap_from..to];
        let mut at = self.gap_from;
        for line in gap.split_inclusive('\n') {
            if let Some(hash) = line.find('#') {
                patterns::pairs(text, at + hash..at + line.len(), &mut self.found);
            }
            at += line.len();
        }
    }

    fn open(&mut self, is_map: bool, anchor: usize) {
        let shade = self.shade();
        let in_sequence = self.frames.last().is_some_and(|frame| !frame.is_map);
        self.frames.push(Frame {
            shade,
            is_map,
            key: None,
            expects_value: false,
            names_secret: false,
            values: Vec::new(),
            anchor,
            leaves_before: self.leaves.len(),
            in_sequence,
        });
    }

    fn close(&mut self) {
        let Some(frame) = self.frames.pop() else {
            return;
        };
        if frame.anchor != 0 {
            self.anchors
                .insert(frame.anchor, frame.leaves_before..self.leaves.len());
        }
        if frame.names_secret {
            self.found.extend(frame.values);
        }
        self.value_done();
    }

    /// An alias where a secret belongs hides what it stands for, wherever that is.
    fn alias(&mut self, anchor: usize) {
        let shade = self.shade();
        let frame = self.frames.last();
        let is_value = frame.is_none_or(|frame| !frame.is_map || frame.expects_value);
        if is_value && (shade.secret || shade.headers) {
            let leaves = self.anchors.get(&anchor).cloned().unwrap_or_default();
            let secrets: Vec<Span> = self.leaves.get(leaves).unwrap_or_default().to_vec();
            self.found.extend(secrets);
        }
        self.value_done();
    }

    /// A node of the innermost collection is complete: in a map the next one is a key, or the value of a key
    /// that was a collection itself.
    fn value_done(&mut self) {
        if let Some(frame) = self.frames.last_mut().filter(|frame| frame.is_map) {
            frame.expects_value = !frame.expects_value;
            if !frame.expects_value {
                frame.key = None;
            }
        }
    }
}
