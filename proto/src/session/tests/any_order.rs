//! Properties over conversations in which anything is lost, repeated, reordered or late.

use proptest::prelude::*;

use super::*;

/// What may happen next.
#[derive(Clone, Debug)]
enum Step {
    Hears {
        ahead: u64,
        shape: u8,
        hash: u8,
        status: i32,
    },
    /// The last message again, byte for byte.
    Repeats,
    /// Begins anew from 0 with everything.
    Restarts,
    Reconnects,
    SwitchesTransport,
    Desires(Option<u8>),
    Owned(bool),
    Restart,
    Push,
    /// A custom message for the one capability that the agent may announce.
    Message,
    Discards(u8),
    Delivers(bool),
    Budget(bool),
    Passes(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let hears =
        (0_u64..4, any::<u8>(), 0_u8..4, -1_i32..5).prop_map(|(ahead, shape, hash, status)| {
            Step::Hears {
                ahead,
                shape,
                hash,
                status,
            }
        });
    prop_oneof![
        12 => hears,
        4 => Just(Step::Repeats),
        1 => Just(Step::Restarts),
        2 => Just(Step::Reconnects),
        1 => Just(Step::SwitchesTransport),
        3 => prop::option::of(1_u8..4).prop_map(Step::Desires),
        1 => any::<bool>().prop_map(Step::Owned),
        2 => Just(Step::Restart),
        2 => Just(Step::Push),
        2 => Just(Step::Message),
        1 => (1_u8..4).prop_map(Step::Discards),
        1 => any::<bool>().prop_map(Step::Delivers),
        1 => any::<bool>().prop_map(Step::Budget),
        6 => (0_u64..200_000).prop_map(Step::Passes),
    ]
}

/// What was counted while the conversation went on.
#[derive(Default)]
struct Seen {
    /// Tokens of restarts that left.
    left: Vec<Token>,
    /// Tokens whose end was told.
    ended: Vec<Token>,
    /// Time of the last request for the full state that is still unanswered, and the wait it earned.
    asked: Option<(u64, u64)>,
    offers: usize,
    /// Messages that were the same bytes as the one before.
    repeats: usize,
}

struct Run {
    dialogue: Dialogue,
    sequence: u64,
    last: Option<Says>,
    tokens: u64,
    pushes: u64,
    /// The agent announced the custom capability.
    announced: bool,
    /// Tokens of custom messages that were taken, in order.
    messages: Vec<Token>,
    seen: Seen,
}

impl Run {
    fn new() -> Self {
        let dialogue = Dialogue::with_stranger();
        Self {
            dialogue,
            sequence: 0,
            last: None,
            tokens: 0,
            pushes: 0,
            announced: false,
            messages: Vec::new(),
            seen: Seen::default(),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Hears {
                ahead,
                shape,
                hash,
                status,
            } => self.hear(message(self.sequence + ahead, shape, hash, status)),
            Step::Repeats => {
                if let Some(says) = self.last.clone() {
                    let before = self.dialogue.session.last_sequence();
                    self.hear(says);
                    assert!(self.dialogue.report.is_none());
                    assert_eq!(self.dialogue.session.last_sequence(), before);
                }
            }
            Step::Restarts => self.hear(full(0)),
            Step::Reconnects => self.dialogue.reconnects(),
            Step::SwitchesTransport => {
                self.dialogue.reconnects();
                self.dialogue.transport = match self.dialogue.transport {
                    Transport::WebSocket => Transport::Http,
                    Transport::Http => Transport::WebSocket,
                };
            }
            Step::Desires(hash) => self
                .dialogue
                .session
                .set_desired(hash.map(|byte| [byte; 32])),
            Step::Owned(owned) => self.dialogue.session.set_owned(owned),
            Step::Restart => {
                self.tokens += 1;
                let _ = self.dialogue.session.restart(Token(self.tokens));
            }
            Step::Push => {
                self.tokens += 1;
                self.pushes += u64::from(
                    self.dialogue
                        .session
                        .push_config(Token(self.tokens))
                        .is_ok(),
                );
            }
            Step::Message => {
                self.tokens += 1;
                let custom = wire::CustomMessage {
                    capability: "a".to_owned(),
                    ..Default::default()
                };
                let announced = self.announced;
                let session = &mut self.dialogue.session;
                let taken = session.custom_message(Token(self.tokens), custom);
                assert!(announced || taken.is_err(), "not announced");
                if taken.is_ok() {
                    self.messages.push(Token(self.tokens));
                }
            }
            Step::Discards(hash) => self.dialogue.session.offer_discarded([hash; 32]),
            Step::Delivers(delivers) => self.dialogue.delivers = delivers,
            Step::Budget(allowed) => self.dialogue.full_state_allowed = allowed,
            Step::Passes(ms) => {
                let events = self.dialogue.passes(ms);
                self.ends(&events);
            }
        }
        self.push();
    }

    /// One message, exactly one reply; what every reply must have is checked by the dialogue.
    fn hear(&mut self, says: Says) {
        let described = says.0.agent_description.is_some();
        let repeated = self.last.as_ref() == Some(&says);
        if let Some(custom) = &says.0.custom_capabilities
            && !repeated
        {
            self.announced = !custom.capabilities.is_empty();
        }
        self.sequence = says.0.sequence_num + 1;
        self.seen.repeats += usize::from(repeated);
        self.last = Some(says.clone());
        let before = self.dialogue.session.last_sequence();
        let outgoing = self.handle(&says);
        let in_order = before.and_then(|last| last.checked_add(1)) == Some(says.0.sequence_num);
        if described && (in_order || says.0.sequence_num == 0) {
            self.seen.asked = None;
        }
        if outgoing.message.flags & 0x1 != 0 {
            let now_ms = self.dialogue.now_ms;
            let wait_ms = match self.seen.asked {
                None => FULL_STATE_FIRST_MS,
                Some((at_ms, wait_ms)) => {
                    assert!(now_ms >= at_ms + wait_ms, "asked again within {wait_ms} ms");
                    (wait_ms * 2).min(FULL_STATE_MAX_MS)
                }
            };
            self.seen.asked = Some((now_ms, wait_ms));
        }
    }

    fn handle(&mut self, says: &Says) -> Outgoing {
        let allowed = self.dialogue.full_state_allowed;
        let handled = self.dialogue.session.handle_message(
            decode_http(Bytes::from(says.0.encode_to_vec())).unwrap(),
            &mut Context {
                now_ms: self.dialogue.now_ms,
                connection: self.dialogue.connection,
                transport: self.dialogue.transport,
                new_uid: None,
                full_state_allowed: &mut || allowed,
                components_known: &|_| false,
            },
        );
        self.dialogue.report = handled.report;
        let complete = report::is_complete(&says.0, self.dialogue.session.capabilities());
        if complete {
            self.seen.asked = None;
        }
        self.ends(&handled.events);
        self.leaves(&handled.reply);
        handled.reply
    }

    fn push(&mut self) {
        // Sixteen restarts, sixteen messages and one offer at most.
        for _ in 0..=2 * OUTSTANDING_MAX + 1 {
            let Some(outgoing) = self.dialogue.session.next_push(self.dialogue.now_ms) else {
                return;
            };
            assert_eq!(self.dialogue.transport, Transport::WebSocket);
            self.leaves(&outgoing);
        }
        panic!("pushes without end");
    }

    fn leaves(&mut self, outgoing: &Outgoing) {
        let session = &mut self.dialogue.session;
        if outgoing.message.command.is_some() {
            let [token] = outgoing.marks.as_slice() else {
                panic!("one command, one token");
            };
            assert!(!self.seen.left.contains(token), "a command left twice");
            assert_eq!((outgoing.offer, outgoing.message.flags), (None, 0));
            assert_ne!(session.capabilities() & agent::ACCEPTS_RESTART_COMMAND, 0);
            self.seen.left.push(*token);
        }
        if outgoing.message.custom_message.is_some() {
            let token = outgoing.marks[0];
            assert!(!self.seen.left.contains(&token), "a message left twice");
            assert!(self.announced, "a message that is not understood left");
            let skipped = self.messages.iter().take_while(|other| **other != token);
            let ended =
                |token: &Token| self.seen.left.contains(token) || self.seen.ended.contains(token);
            assert!(skipped.copied().all(|other| ended(&other)), "out of order");
            self.seen.left.push(token);
        }
        if let Some(hash) = outgoing.offer {
            assert_eq!(session.offers.desired(), Some(hash));
            assert_ne!(session.capabilities() & agent::ACCEPTS_REMOTE_CONFIG, 0);
            self.seen.offers += 1;
        }
        if self.dialogue.delivers {
            session.written(outgoing.offer, &outgoing.marks, self.dialogue.now_ms);
        }
    }

    fn ends(&mut self, events: &[Event]) {
        for event in events {
            let token = match event {
                Event::GapSeen | Event::FullStateRequested | Event::ComponentsRequested => continue,
                Event::RestartConfirmed(token)
                | Event::RestartUnconfirmed(token)
                | Event::PushSucceeded(token)
                | Event::PushFailed(token, _)
                | Event::PushUnconfirmed(token)
                | Event::MessageWritten(token)
                | Event::MessageLost(token)
                | Event::PushUnassigned(token)
                | Event::Unsupported(token) => *token,
            };
            assert!(!self.seen.ended.contains(&token), "{token:?} ended twice");
            self.seen.ended.push(token);
        }
    }
}

/// Any mix of parts; bit 0x40 leaves a capability out, 0x80 says goodbye.
fn message(sequence_num: u64, shape: u8, hash: u8, status: i32) -> Says {
    let mut says = if shape & 1 == 0 {
        beat(sequence_num)
    } else {
        described(sequence_num)
    };
    if shape & 2 != 0 {
        says = says.health(shape & 4 != 0);
    }
    if shape & 8 != 0 {
        says = says.status(
            &vec![hash; usize::from(hash) * 16],
            wire::RemoteConfigStatuses::Unset,
        );
        says.0
            .remote_config_status
            .iter_mut()
            .for_each(|word| word.status = status);
    }
    if shape & 0x30 == 0x30 {
        says = says
            .components(&[hash])
            .bits(BITS | agent::REPORTS_AVAILABLE_COMPONENTS);
    }
    if shape & 0x30 == 0x10 || shape & 0x30 == 0x20 {
        let known = shape & 0x10 != 0;
        says.0.custom_capabilities = Some(wire::CustomCapabilities {
            capabilities: known.then(|| "a".to_owned()).into_iter().collect(),
        });
    }
    if shape & 0xC0 == 0x40 {
        says = says.bits(BITS & !(0x2 << (hash % 4 * 3)));
    }
    if shape & 0xF0 == 0x80 {
        says = says.goodbye();
    }
    says
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// C-083, C-100, C-242: one reply each, waits between requests, no command twice, every end told once.
    #[test]
    fn any_conversation_keeps_its_rules(steps in prop::collection::vec(step(), 1..120)) {
        let mut run = Run::new();
        for step in steps {
            run.take(step);
        }
    }

    /// Nothing waits for ever: once time passes, every instruction that left has ended.
    #[test]
    fn every_instruction_that_left_ends(steps in prop::collection::vec(step(), 1..80)) {
        let mut run = Run::new();
        for step in steps {
            run.take(step);
        }
        run.dialogue.session.set_owned(false);
        // what was not written by now is lost with its connection
        run.dialogue.session.connection_lost(run.dialogue.connection);
        let events = run.dialogue.passes(RESTART_CONFIRM_MS);
        run.ends(&events);
        for token in &run.seen.left {
            prop_assert!(run.seen.ended.contains(token), "{:?}", token);
        }
    }

    /// C-089, C-139: an agent that never says what it has is offered it a bounded number of times, however it
    /// restarts and reconnects meanwhile.
    #[test]
    fn offers_of_one_hash_are_bounded(steps in prop::collection::vec(step(), 1..120)) {
        let mut run = Run::new();
        run.dialogue.session.set_desired(Some([9; 32]));
        let begun_ms = run.dialogue.now_ms;
        for step in steps {
            let excluded = matches!(step, Step::Desires(_) | Step::Push | Step::Discards(_) | Step::Delivers(_));
            if !excluded {
                run.take(step);
            }
        }
        // The first, one more when it begins anew, one per minute; and what repeated messages get again.
        let minutes = usize::try_from((run.dialogue.now_ms - begun_ms) / OFFER_RETRY_FIRST_MS).unwrap();
        prop_assert!(run.seen.offers <= 2 + minutes + run.seen.repeats);
    }
}
