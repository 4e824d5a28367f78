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

/// Puts many on their shelf at once: each put arranges all anew.
fn fill(standing: &Standing, many: impl Iterator<Item = Arc<Action>>) {
    let mut shelves = standing.shelves.write();
    shelves.all.extend(many.map(|action| (action.id.clone(), action)));
    standing.arranged(&mut shelves);
}

fn by(who: &str, until_ms: u64, action: &Arc<Action>) -> Arc<Action> {
    Arc::new(Action { by: who.into(), until: NOW.plus_ms(until_ms), ..Action::clone(action) })
}

fn network(n: usize) -> Subject {
    range(&format!("2001:db8:{:x}:{:x}::/64", n >> 16, n & 0xffff))
}

#[test]
fn what_is_done_by_itself_gives_way_and_operators_have_room() {
    let standing = Standing::default();
    let own = |n: usize, tenant| {
        by(
            BY_ITSELF,
            60_000 + n as u64,
            &action(&format!("s{n}"), tenant, Measure::BlockStrangers, network(n)),
        )
    };
    // Somebody touches bait of one tenant from very many networks; another tenant's attacker is blocked too.
    standing.put(own(0, Some("two"))).unwrap();
    for n in 1..=4_096 {
        let gone = standing.put(own(n, Some("one"))).unwrap();
        let oldest = n.checked_sub(limits::ACTIONS_BY_ITSELF_OF_TENANT).filter(|n| *n > 0);
        assert_eq!(gone.map(|action| action.id.clone()), oldest.map(|n| format!("s{n}")), "{n}");
    }
    assert!(standing.action("s0").is_some(), "another tenant's stays");
    assert_eq!(standing.of_tenant(Some(&"one".parse().unwrap())).len(), limits::ACTIONS_BY_ITSELF_OF_TENANT);
    // Whoever operates has room all the same.
    let put = |id: &str, tenant| {
        standing.put(by("User::\"x\"", 1, &action(id, tenant, Measure::Block, network(9_999))))
    };
    assert_eq!(put("o1", Some("one")), Ok(None));
    assert_eq!(put("o2", None), Ok(None));

    // Of many tenants, each full: a new one still has a place, and takes it from whoever's ends the soonest.
    for tenant in ["three", "four", "five", "six"] {
        for n in 0..limits::ACTIONS_BY_ITSELF_OF_TENANT {
            let one = by(
                BY_ITSELF,
                1_000_000,
                &action(&format!("{tenant}{n}"), Some(tenant), Measure::Slow, network(n)),
            );
            standing.put(one).unwrap();
        }
    }
    let count = || standing.shelves.read().all.values().filter(|action| action.is_by_itself()).count();
    assert_eq!(count(), limits::ACTIONS_BY_ITSELF_MAX);
    assert!(standing.put(own(1, Some("seven"))).unwrap().is_some());
    assert_eq!(count(), limits::ACTIONS_BY_ITSELF_MAX);
}

#[test]
fn operators_of_tenants_leave_room_for_those_of_the_node() {
    let standing = Standing::default();
    let many = |tenant: &'static str, most: usize| {
        (0..most).map(move |n| {
            by(
                "User::\"x\"",
                60_000,
                &action(&format!("{tenant}{n}"), Some(tenant), Measure::Block, network(n)),
            )
        })
    };
    let put = |id: &str, tenant| {
        standing.put(by("User::\"x\"", 1, &action(id, tenant, Measure::Block, network(1))))
    };
    fill(&standing, many("one", limits::ACTIONS_OF_TENANT));
    assert_eq!(put("x1", Some("one")), Err(TooMany(limits::ACTIONS_OF_TENANT)));
    assert_eq!(put("x2", Some("two")), Ok(None));
    fill(&standing, many("two", limits::ACTIONS_OF_TENANT - 1));
    fill(&standing, many("three", limits::ACTIONS_OF_TENANT - 1));
    assert!(put("x3", Some("four")).is_err());
    assert_eq!(put("x4", None), Ok(None));
}

#[test]
fn one_that_ends_sooner_hides_none_that_ends_later() {
    let (tenant, function): (TenantId, FunctionName) = ("one".parse().unwrap(), "hello".parse().unwrap());
    let (token, number): (TokenId, _) = ("t4x8k2m9q1r7z".parse().unwrap(), RevisionNumber(3));
    for order in [[3_600_000, 3_000], [3_000, 3_600_000]] {
        let standing = Standing::default();
        for (n, until_ms) in order.into_iter().enumerate() {
            let suspend =
                action(&format!("t{n}"), Some("one"), Measure::Suspend, Subject::Token(token.clone()));
            let subject = Subject::Revision(function.clone(), number);
            let quarantine = action(&format!("q{n}"), Some("one"), Measure::Quarantine, subject);
            standing.put(by("User::\"x\"", until_ms, &suspend)).unwrap();
            standing.put(by("User::\"x\"", until_ms, &quarantine)).unwrap();
        }
        for at in [0, 2_999, 3_000, 3_599_999] {
            let now = NOW.plus_ms(at);
            assert!(standing.of_token(&token, now).is_some(), "{order:?} at {at}");
            assert!(standing.of_revision(&tenant, &function, number, now).is_some(), "{order:?} at {at}");
        }
        assert!(standing.of_token(&token, NOW.plus_ms(3_600_000)).is_none());
        // The one that is left counts when the other is undone.
        let longest = standing.of_token(&token, NOW).unwrap().id.clone();
        standing.remove(&longest);
        assert!(standing.of_token(&token, NOW).is_some());
    }
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
