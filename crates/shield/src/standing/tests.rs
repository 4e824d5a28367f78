use super::*;

const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

fn action(id: &str, tenant: Option<&str>, measure: Measure, subject: Subject) -> Arc<Action> {
    Arc::new(Action {
        id: id.into(),
        tenant: tenant.map(|t| t.parse().unwrap()),
        measure,
        subject,
        control: false,
        reason: "a test".into(),
        by: "shield".into(),
        signal: None,
        since: NOW,
        until: NOW.plus_ms(60_000),
        ended: None,
    })
}

fn range(text: &str) -> Subject {
    Subject::Source(text.parse().unwrap())
}

#[test]
fn sources_are_found_by_address_and_by_range() {
    let standing = Standing::default();
    assert!(!standing.is_any());
    standing.put(action("a1", Some("one"), Measure::Block, range("192.0.2.7"))).unwrap();
    standing.put(action("a2", None, Measure::BlockStrangers, range("198.51.100.0/24"))).unwrap();
    standing.put(action("a3", Some("one"), Measure::Slow, range("2001:db8::/64"))).unwrap();
    let (one, two): (TenantId, TenantId) = ("one".parse().unwrap(), "two".parse().unwrap());
    let check = |tenant: Option<&TenantId>, address: &str, expect: (bool, bool, bool)| {
        let found = standing.of_source(tenant, address.parse().unwrap(), NOW);
        let found = (found.everybody.is_some(), found.strangers.is_some(), found.slow);
        assert_eq!(found, expect, "{address} for {tenant:?}");
    };
    check(Some(&one), "192.0.2.7", (true, false, false));
    check(Some(&one), "::ffff:192.0.2.7", (true, false, false));
    check(Some(&one), "192.0.2.8", (false, false, false));
    check(Some(&two), "192.0.2.7", (false, false, false));
    check(None, "192.0.2.7", (false, false, false));
    check(Some(&two), "198.51.100.200", (false, true, false));
    check(None, "198.51.100.200", (false, true, false));
    check(Some(&one), "2001:db8::1:2", (false, false, true));
    check(Some(&one), "2001:db8:0:1::1", (false, false, false));
}

#[test]
fn tokens_and_revisions() {
    let standing = Standing::default();
    let token: TokenId = "t4x8k2m9q1r7z".parse().unwrap();
    let (tenant, function): (TenantId, FunctionName) = ("one".parse().unwrap(), "hello".parse().unwrap());
    let number = RevisionNumber(3);
    standing.put(action("a1", Some("one"), Measure::Suspend, Subject::Token(token.clone()))).unwrap();
    let subject = Subject::Revision(function.clone(), number);
    standing.put(action("a2", Some("one"), Measure::Quarantine, subject)).unwrap();
    assert!(standing.of_token(&token, NOW).is_some());
    assert!(standing.of_token(&"t4x8k2m9q1r70".parse().unwrap(), NOW).is_none());
    assert!(standing.of_revision(&tenant, &function, number, NOW).is_some());
    assert!(standing.of_revision(&tenant, &function, RevisionNumber(4), NOW).is_none(), "another revision");
    assert!(standing.of_revision(&"two".parse().unwrap(), &function, number, NOW).is_none());
    assert_eq!(standing.of_tenant(Some(&tenant)).len(), 2);
    assert_eq!(standing.of_tenant(None).len(), 0);
    standing.remove("a2").unwrap();
    assert!(standing.of_revision(&tenant, &function, number, NOW).is_none());
    assert!(standing.remove("a2").is_none());
}

#[test]
fn everything_ends() {
    let standing = Standing::default();
    standing.put(action("a1", None, Measure::Block, range("192.0.2.7"))).unwrap();
    let (address, end) = ("192.0.2.7".parse().unwrap(), NOW.plus_ms(60_000));
    assert!(standing.of_source(None, address, NOW.plus_ms(59_999)).everybody.is_some());
    assert!(standing.of_source(None, address, end).everybody.is_none(), "before anyone takes it away");
    assert!(standing.expire(NOW).is_empty());
    assert_eq!(standing.expire(end).len(), 1);
    assert!(!standing.is_any());
}

#[test]
fn there_is_a_most() {
    let standing = Standing::default();
    let put = |n: u32| {
        let subject = Subject::Source(std::net::Ipv4Addr::from_bits(n).to_string().parse().unwrap());
        standing.put(action(&format!("a{n}"), None, Measure::Slow, subject))
    };
    // Arranged anew at each: few are enough to see that the most holds.
    for n in 0..8 {
        put(n).unwrap();
    }
    standing.shelves.write().all.extend(
        (8..limits::ACTIONS_MAX as u32)
            .map(|n| (format!("a{n}"), action(&format!("a{n}"), None, Measure::Slow, range("192.0.2.1")))),
    );
    assert_eq!(put(u32::MAX), Err(TooMany));
}

#[test]
fn what_is_done_by_itself_harms_nobody_who_proves_who_they_are() {
    let usual = Responses::default();
    for kind in [SignalKind::Probing, SignalKind::CredentialStuffing, SignalKind::HoneyRoute] {
        assert!(matches!(usual.to(kind), Some(Measure::Slow | Measure::BlockStrangers)), "{kind:?}");
    }
    for kind in
        [SignalKind::TokenPlaces, SignalKind::TransitionUnseen, SignalKind::Drift, SignalKind::ClaimStuffing]
    {
        assert_eq!(usual.to(kind), None, "{kind:?}");
    }
}
