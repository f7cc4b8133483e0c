//! Groups G, H, T, U: what every reply has, reports, capabilities, components, goodbye.

use super::*;

/// C-083, C-085, C-087, C-211: the smallest whole answer; the dialogue compares it whole.
#[test]
fn a_heartbeat_is_acknowledged_and_nothing_else_happens() {
    let mut dialogue = Dialogue::introduced();
    assert_eq!(dialogue.hears(beat(1)), ACK);
    assert_eq!(dialogue.report, None);
    assert_eq!(dialogue.events, []);
    assert_eq!(dialogue.session.poll_timeout(), None);
}

/// C-091, C-092, C-093: parts come out as they came in, absent ones do not.
#[test]
fn a_report_has_the_present_parts_only() {
    let mut dialogue = Dialogue::with_stranger();
    let mut says = full(0).components(b"h");
    says.0.effective_config = Some(wire::EffectiveConfig::default());
    says.0.package_statuses = Some(wire::PackageStatuses::default());
    says.0.custom_capabilities = Some(wire::CustomCapabilities::default());
    says.0.custom_message = Some(wire::CustomMessage::default());
    says.0.connection_settings_status = Some(wire::ConnectionSettingsStatus::default());
    let message = says.0.clone();
    dialogue.hears(says);
    let expected = Report {
        description: message.agent_description,
        capabilities: Some(BITS),
        health: message.health,
        effective_config: message.effective_config,
        remote_config_status: message.remote_config_status,
        package_statuses: message.package_statuses,
        custom_capabilities: message.custom_capabilities,
        custom_message: message.custom_message,
        available_components: message.available_components,
        connection_settings_status: message.connection_settings_status,
    };
    assert_eq!(dialogue.report.as_deref(), Some(&expected));

    dialogue.hears(beat(1).health(false));
    let health = Some(wire::ComponentHealth::default());
    assert_eq!(
        dialogue.report.as_deref(),
        Some(&Report {
            health,
            ..Report::default()
        })
    );
}

/// C-046, C-080, C-081.
#[test]
fn capabilities_count_when_they_are_others_and_not_zero() {
    let mut dialogue = Dialogue::introduced();
    dialogue.hears(beat(1).bits(0));
    assert_eq!(
        (dialogue.report.take(), dialogue.session.capabilities()),
        (None, BITS)
    );
    dialogue.hears(beat(2).bits(u64::MAX - 1));
    let capabilities = Some(u64::MAX - 1);
    assert_eq!(
        dialogue.report.as_deref(),
        Some(&Report {
            capabilities,
            ..Report::default()
        })
    );
    assert_eq!(dialogue.session.capabilities(), u64::MAX - 1);
}

/// C-181, C-250: what is not understood is acknowledged.
#[test]
fn a_request_for_settings_and_an_unknown_custom_message_are_acknowledged() {
    let mut dialogue = Dialogue::introduced();
    let mut says = beat(1).health(true);
    says.0.connection_settings_request = Some(wire::ConnectionSettingsRequest::default());
    says.0.custom_message = Some(wire::CustomMessage::default());
    assert_eq!(dialogue.hears(says), ACK);
    assert!(
        dialogue
            .report
            .is_some_and(|report| report.health.is_some() && report.custom_message.is_some())
    );
}

/// C-255, C-256, C-257, C-258.
#[test]
fn a_component_list_is_asked_for_once_per_hash_and_connection() {
    let bits = BITS | agent::REPORTS_AVAILABLE_COMPONENTS;
    let says = |number: u64, hash: &[u8]| beat(number).bits(bits).components(hash);
    let mut dialogue = Dialogue::introduced();
    assert_eq!(
        dialogue.hears(beat(1).components(b"one")),
        ACK,
        "without the bit"
    );
    assert_eq!(dialogue.hears(says(2, b"")), ACK, "without a hash");
    assert_eq!(dialogue.hears(says(3, b"one")), COMPONENTS);
    assert_eq!(dialogue.events, [Event::ComponentsRequested]);
    assert_eq!(dialogue.hears(says(4, b"one")), ACK);
    assert_eq!(dialogue.hears(says(5, b"two")), COMPONENTS);
    dialogue.components_known = true;
    assert_eq!(dialogue.hears(says(6, b"three")), ACK);
    dialogue.components_known = false;
    dialogue.reconnects();
    assert_eq!(dialogue.hears(says(7, b"two")), COMPONENTS);
    let mut list = says(8, b"four");
    let components = list.0.available_components.as_mut().unwrap();
    components
        .components
        .insert("otlp".to_owned(), wire::ComponentDetails::default());
    assert_eq!(dialogue.hears(list), ACK, "the list is there");
}

/// C-260: the full state brings the list as well.
#[test]
fn the_component_list_is_not_asked_for_beside_the_full_state() {
    let bits = BITS | agent::REPORTS_AVAILABLE_COMPONENTS;
    let mut dialogue = Dialogue::with_stranger();
    assert_eq!(
        dialogue.hears(beat(7).bits(bits).components(b"one")),
        FULL_STATE
    );
    assert_eq!(
        dialogue.hears(full(8).bits(bits).components(b"one")),
        COMPONENTS
    );
}

/// C-088, C-263, C-264, C-267.
#[test]
fn goodbye_comes_after_its_fields_and_a_later_message_is_live_again() {
    let mut dialogue = Dialogue::introduced();
    dialogue.session.set_desired(Some(A));
    let incoming = decode_http(Bytes::from(
        beat(1).health(false).goodbye().0.encode_to_vec(),
    ))
    .unwrap();
    let handled = dialogue.session.handle_message(
        incoming,
        &mut Context {
            now_ms: 0,
            connection: dialogue.connection,
            transport: dialogue.transport,
            new_uid: None,
            full_state_allowed: &mut || true,
            components_known: &|_| true,
        },
    );
    assert!(handled.goodbye && handled.report.is_some_and(|report| report.health.is_some()));
    assert_eq!(handled.reply.offer, None);
    assert_eq!(dialogue.pushed(), None);
    assert_eq!(dialogue.session.connection(), None);
    assert!(dialogue.session.can_drop());
    assert_eq!(dialogue.hears(beat(2)), offer(A));
    assert_eq!(dialogue.session.connection(), Some(dialogue.connection));
    assert!(!dialogue.session.can_drop());
}

/// C-266.
#[test]
fn the_late_end_of_an_older_connection_changes_nothing() {
    let mut dialogue = Dialogue::introduced();
    dialogue.connection = ConnectionKey(2);
    dialogue.hears(beat(1));
    dialogue.session.connection_lost(ConnectionKey(1));
    assert_eq!(dialogue.session.connection(), Some(ConnectionKey(2)));
    dialogue.session.connection_lost(ConnectionKey(2));
    assert_eq!(dialogue.session.connection(), None);
}

/// C-064, C-065: the reply still carries the old uid in field 1.
#[test]
fn a_new_identity_goes_out_under_the_old_uid() {
    let mut dialogue = Dialogue::with_stranger();
    dialogue.transport = Transport::Http;
    let fresh = InstanceUid::from_u128(42);
    let incoming = decode_http(Bytes::from(full(0).0.encode_to_vec())).unwrap();
    let handled = dialogue.session.handle_message(
        incoming,
        &mut Context {
            now_ms: 0,
            connection: dialogue.connection,
            transport: dialogue.transport,
            new_uid: Some(fresh),
            full_state_allowed: &mut || true,
            components_known: &|_| true,
        },
    );
    let message = handled.reply.message;
    assert_eq!(message.instance_uid, UID.as_bytes().as_slice());
    assert_eq!(
        message.agent_identification.unwrap().new_instance_uid,
        fresh.as_bytes().as_slice()
    );
    let mut says = beat(1);
    says.0.instance_uid = Bytes::copy_from_slice(fresh.as_bytes());
    assert_eq!(dialogue.hears(says), ACK);
    assert_eq!(dialogue.session.uid(), fresh);
}
