//! Texts that repeat are shared: a hundred thousand agents say the same keys, types and versions.

use std::sync::Arc;

use super::{AgentRecord, AgentUpdate, Description, Enrollment};

/// Slots: some dozens of texts repeat in a fleet, and those that do not push them out rarely.
const SLOTS: usize = 4096;

/// Longer texts are errors and paths: they do not repeat.
const BYTES_MAX: usize = 128;

/// The texts seen last, one per slot: bounded, forgetful, and without any influence on what a record means.
///
/// A text that was pushed out is only held once more when it comes again.
#[derive(Clone, Debug)]
pub struct Texts {
    slots: Vec<Option<Arc<str>>>,
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            slots: vec![None; SLOTS],
        }
    }
}

impl Texts {
    /// Shares the texts of a record that comes from a store.
    pub fn share_record(&mut self, record: &mut AgentRecord) {
        self.share_description(&mut record.description);
        for (key, value) in &mut record.server_labels {
            self.share(key);
            self.share(value);
        }
        if let Some(health) = &mut record.health {
            self.share(&mut health.status);
            self.share(&mut health.last_error);
        }
        self.share(&mut record.config.error);
        for name in &mut record.custom_capabilities {
            self.share(name);
        }
    }

    /// Shares the texts of a place that comes from a store: as many agents come with one token.
    pub fn share_enrollment(&mut self, enrollment: &mut Enrollment) {
        self.share(&mut enrollment.token);
        for (key, value) in &mut enrollment.labels {
            self.share(key);
            self.share(value);
        }
    }

    /// Shares the texts of a report before it is applied.
    pub fn share_update(&mut self, update: &mut AgentUpdate) {
        if let Some(description) = &mut update.description {
            self.share_description(description);
        }
        if let Some(health) = &mut update.health {
            self.share(&mut health.status);
            self.share(&mut health.last_error);
        }
        if let Some(report) = &mut update.config {
            self.share(&mut report.error);
        }
        for name in update.custom_capabilities.iter_mut().flatten() {
            self.share(name);
        }
    }

    fn share_description(&mut self, description: &mut Arc<Description>) {
        let description = Arc::make_mut(description);
        for label in &mut description.labels {
            self.share(&mut label.key);
            self.share(&mut label.value);
        }
        description.labels.shrink_to_fit();
        // after the labels: they mostly are the values of three of them
        self.share(&mut description.name);
        self.share(&mut description.agent_type);
        self.share(&mut description.agent_version);
    }

    fn share(&mut self, text: &mut Arc<str>) {
        if text.len() > BYTES_MAX {
            return;
        }
        let slot = hash(text) % SLOTS as u64;
        let Some(slot) = usize::try_from(slot)
            .ok()
            .and_then(|slot| self.slots.get_mut(slot))
        else {
            return;
        };
        match slot {
            Some(known) if **known == **text => *text = Arc::clone(known),
            Some(_) | None => *slot = Some(Arc::clone(text)),
        }
    }
}

/// FNV-1a, 64 bits.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Label;

    fn description(name: &str) -> Arc<Description> {
        Arc::new(Description {
            name: name.into(),
            agent_type: "io.opentelemetry.collector".into(),
            agent_version: "0.149.0".into(),
            labels: vec![Label {
                key: "host.name".into(),
                value: name.into(),
                scalar: true,
            }],
            truncated: false,
        })
    }

    fn shared(texts: &mut Texts, name: &str) -> Arc<Description> {
        let mut update = AgentUpdate {
            description: Some(description(name)),
            ..AgentUpdate::default()
        };
        texts.share_update(&mut update);
        update.description.unwrap()
    }

    #[test]
    fn what_repeats_is_held_once_and_means_the_same() {
        let mut texts = Texts::default();
        let one = shared(&mut texts, "a");
        let two = shared(&mut texts, "b");
        assert_eq!(*two, *description("b"));
        assert!(Arc::ptr_eq(&one.agent_type, &two.agent_type));
        assert!(Arc::ptr_eq(&one.labels[0].key, &two.labels[0].key));
        assert!(Arc::ptr_eq(&two.name, &two.labels[0].value));
    }

    #[test]
    fn texts_without_end_take_no_more_than_the_slots() {
        let mut texts = Texts::default();
        for number in 0..3 * SLOTS {
            shared(&mut texts, &format!("host-{number}"));
        }
        assert_eq!(texts.slots.len(), SLOTS);
        let long = "x".repeat(BYTES_MAX + 1);
        shared(&mut texts, &long);
        assert!(
            texts
                .slots
                .iter()
                .flatten()
                .all(|text| text.len() <= BYTES_MAX)
        );
    }
}
