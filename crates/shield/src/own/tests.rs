use super::*;
use crate::{Lists, Shield, ShieldConfig};

const AT: At = At { now: model::Timestamp::from_unix_ms(0), now_ms: 0 };

fn own(shield: &Shield, text: (&[&str], &[&str], model::Rates)) -> Own {
    let list = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
    let typed = model::Shield { allow: list(text.0), deny: list(text.1), rate: text.2, ..Default::default() };
    Own::of_function(shield.scope(), &typed, AT).unwrap()
}

fn tenants(shield: &Shield, rate: model::TenantRates) -> Own {
    let typed = model::TenantShield { rate, ..Default::default() };
    Own::of_tenant(shield.scope(), &typed, AT).unwrap()
}

const fn rate(requests: u32, seconds: u32, burst: Option<u32>) -> Option<model::RequestRate> {
    Some(model::RequestRate { requests, seconds, burst })
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn lists_of_functions_name_sets_of_the_node() {
    let shield = Shield::new(ShieldConfig::default());
    let all = model::Rates::default();
    let function = own(&shield, (&["set:offices"], &["10.0.0.9"], all));
    let tenant = tenants(&shield, Default::default());
    let check = |address: &str, expect: Result<(), Blocked>| {
        assert_eq!(shield.admit_source([&tenant, &function], ip(address), 0), expect, "{address}");
    };
    check("10.0.0.1", Err(Blocked::SourceDenied));
    let mut lists = Lists::default();
    lists.sets.put("offices", "10.0.0.0/24", AT).unwrap();
    shield.replace_lists(lists);
    check("10.0.0.1", Ok(()));
    check("10.0.0.9", Err(Blocked::SourceDenied));
    check("10.0.1.1", Err(Blocked::SourceDenied));
    shield.replace_lists(Lists::default());
    check("10.0.0.1", Err(Blocked::SourceDenied));
}

#[test]
fn each_rate_is_its_own() {
    let shield = Shield::new(ShieldConfig::default());
    let rates =
        model::Rates { source: rate(2, 1, None), caller: rate(3, 1, None), function: rate(5, 1, None) };
    let (one, other) = (own(&shield, (&[], &[], rates)), own(&shield, (&[], &[], rates)));
    let free = tenants(&shield, Default::default());
    let source = |own: &Own, address: &str| shield.admit_source([&free, own], ip(address), 0).is_ok();
    assert_eq!([1, 2, 3].map(|_| source(&one, "10.0.0.1")), [true, true, false]);
    assert!(source(&one, "10.0.0.2") && source(&other, "10.0.0.1"));
    let caller = |own: &Own, name: Option<&str>| shield.admit_own_caller([&free, own], name, 0);
    assert_eq!([1, 2, 3, 4].map(|_| caller(&one, Some("a")).is_ok()), [true, true, true, false]);
    assert!(caller(&one, Some("b")).is_ok() && caller(&one, None).is_ok());
    let refused = caller(&one, None).unwrap_err();
    assert_eq!((refused.code(), refused.status(), refused.retry_after_s()), ("function-rate", 429, Some(1)));
    assert!(caller(&other, None).is_ok());
}

/// Whoever is refused by one rate takes nothing from others by another.
#[test]
fn who_is_refused_uses_up_nothing() {
    let shield = Shield::new(ShieldConfig::default());
    let tenant = tenants(&shield, model::TenantRates { tenant: rate(5, 60, None), ..Default::default() });
    let narrow = own(&shield, (&[], &[], model::Rates { caller: rate(1, 60, None), ..Default::default() }));
    let wide = own(&shield, (&[], &[], model::Rates::default()));
    let caller =
        |own: &Own, name| shield.admit_own_caller([&tenant, own], Some(name), 0).map_err(|e| e.code());
    assert_eq!(caller(&narrow, "a"), Ok(()));
    for _ in 0..20 {
        assert_eq!(caller(&narrow, "a"), Err("function-caller-rate"));
    }
    assert_eq!([1, 2, 3, 4, 5].map(|_| caller(&wide, "b").is_ok()), [true, true, true, true, false]);
    assert_eq!(caller(&narrow, "c"), Err("tenant-rate"));
    // That one took nothing of the function's either.
    assert_eq!(
        shield.admit_own_caller([&tenants(&shield, Default::default()), &narrow], Some("c"), 0),
        Ok(())
    );
}

#[test]
fn what_an_answer_says() {
    let shield = Shield::new(ShieldConfig::default());
    let rates = model::Rates {
        source: rate(20, 1, Some(40)),
        caller: rate(1_000, 3_600, None),
        function: rate(3, 1, None),
    };
    let function = own(&shield, (&[], &[], rates));
    let tenant = tenants(&shield, model::TenantRates { source: rate(9, 1, None), ..Default::default() });
    let owns = [&tenant, &function];
    for _ in 0..3 {
        shield.admit_source(owns, ip("10.0.0.1"), 0).unwrap();
        shield.admit_own_caller(owns, Some("a"), 0).unwrap();
    }
    let policies =
        "\"tenant-source\";q=9;w=1, \"source\";q=40;w=2, \"caller\";q=1000;w=3600, \"function\";q=3;w=1";
    let check = |caller, refused, now_ms, expect: &str| {
        let told = shield.rates_told(owns, ip("10.0.0.1"), caller, refused, now_ms);
        assert_eq!(told, Some((policies.to_owned(), expect.to_owned())));
    };
    let source = "\"tenant-source\";r=6;t=1, \"source\";r=37;t=1";
    check(None, None, 0, source);
    check(Some("a"), None, 0, &format!("{source}, \"caller\";r=997;t=11"));
    check(Some("b"), None, 0, &format!("{source}, \"caller\";r=1000;t=0"));
    check(None, Some("function-rate"), 0, &format!("{source}, \"function\";r=0;t=1"));
    let none = tenants(&shield, Default::default());
    assert_eq!(shield.rates_told([&none, &none], ip("10.0.0.1"), None, None, 0), None);
}

/// A million sources at one function take a bounded table, and the one that is refused stays so.
#[test]
fn a_million_sources_of_a_function() {
    let shield = Shield::new(ShieldConfig::default());
    let function = own(&shield, (&[], &[], model::Rates { source: rate(4, 60, None), ..Default::default() }));
    let free = tenants(&shield, Default::default());
    let ask = |address: IpAddr, now_ms| shield.admit_source([&free, &function], address, now_ms).is_ok();
    assert_eq!([1, 2, 3, 4, 5].map(|_| ask(ip("192.0.2.1"), 1)), [true, true, true, true, false]);
    for n in 0..1_000_000_u32 {
        assert!(ask(IpAddr::V4((n | 0x0a00_0000).into()), 1 + u64::from(n / 200)));
    }
    assert!(shield.own_remembered() <= limits::OWN_RATE_KEYS_MAX, "{}", shield.own_remembered());
    assert!(!ask(ip("192.0.2.1"), 5_001));
}
