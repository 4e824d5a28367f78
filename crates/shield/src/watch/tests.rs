use super::*;

const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn watch() -> Watch {
    Watch::new(Thresholds::default())
}

/// How many signals a run of signs makes, one every `step_ms`.
fn signals<'a>(watch: &Watch, signs: impl Iterator<Item = Sign<'a>>, step_ms: u64) -> Vec<SignalKind> {
    let found = signs.enumerate().filter_map(|(n, sign)| watch.note(sign, None, A, n as u64 * step_ms));
    found.map(|signal| signal.kind).collect()
}

#[test]
fn who_looks_for_what_is_not_there_is_found_once() {
    let paths: Vec<String> = (0..200).map(|n| format!("/a/{n}")).collect();
    let found = signals(&watch(), paths.iter().map(|path| Sign::NotFound(path)), 100);
    assert_eq!(found, [SignalKind::Probing]);
    let found = signals(&watch(), paths.iter().map(|path| Sign::Forbidden(path)), 100);
    assert_eq!(found, [SignalKind::Probing]);
    // One path in ten seconds, for an hour and more.
    let paths: Vec<String> = (0..400).map(|n| format!("/slow/{n}")).collect();
    let found = signals(&watch(), paths.iter().map(|path| Sign::NotFound(path)), 10_000);
    assert!(!found.is_empty() && found.len() <= 4, "once in ten minutes: {found:?}");
    let known = ["/.env", "/.git/config", "/WP-LOGIN.php", "/xmlrpc.php", "/phpinfo.php", "/server-status"];
    assert_eq!(
        signals(&watch(), known.iter().map(|path| Sign::NotFound(path)), 1_000),
        [SignalKind::Probing]
    );
    let hits = std::iter::repeat_n(Sign::RuleHit(5), 20);
    assert_eq!(signals(&watch(), hits, 1_000), [SignalKind::Probing]);
}

#[test]
fn who_is_honest_is_not() {
    // A page with broken images, again and again; a client without its token, for a day; a crawler of old links.
    let images: Vec<String> = (0..20).map(|n| format!("/img/{n}.png")).collect();
    let again = images.iter().cycle().take(10_000).map(|path| Sign::NotFound(path));
    assert_eq!(signals(&watch(), again, 50), []);
    let client = std::iter::repeat_n(Sign::Unauthenticated("/api/poll"), 86_400);
    assert_eq!(signals(&watch(), client, 1_000), []);
    let links: Vec<String> = (0..300).map(|n| format!("/old/{n}")).collect();
    assert_eq!(signals(&watch(), links.iter().map(|path| Sign::NotFound(path)), 60_000), []);
    let hits = std::iter::repeat_n(Sign::RuleHit(5), 50);
    assert_eq!(signals(&watch(), hits, 60_000), [], "a rule that is wrong about one form");
    // Somebody mistypes a token thrice; a machine has a stale one for a day.
    let typed = [Sign::BadCredential(b"a"), Sign::BadCredential(b"b"), Sign::BadCredential(b"c")];
    assert_eq!(signals(&watch(), typed.into_iter(), 1_000), []);
    let stale = std::iter::repeat_n(Sign::BadCredential(b"stale"), 86_400);
    assert_eq!(signals(&watch(), stale, 1_000), []);
}

#[test]
fn credentials_that_are_tried() {
    let tried: Vec<String> = (0..200).map(|n| format!("password {n}")).collect();
    let found = signals(&watch(), tried.iter().map(|text| Sign::BadCredential(text.as_bytes())), 1_000);
    assert_eq!(found, [SignalKind::CredentialStuffing]);
    let watch = watch();
    let found =
        (0..400_u32).filter_map(|n| watch.claim(&n.to_be_bytes(), None, "alice", u64::from(n) * 1_000));
    let found: Vec<_> = found.map(|signal| signal.kind).collect();
    assert_eq!(found, [SignalKind::ClaimStuffing]);
    assert_eq!(watch.claim(b"x", None, "bob", 0), None);
}

#[test]
fn bait_is_told_at_once_and_not_for_each_touch() {
    let watch = watch();
    let touch = |at| watch.note(Sign::HoneyRoute("/backup.zip"), None, A, at).map(|signal| signal.kind);
    assert_eq!(touch(0), Some(SignalKind::HoneyRoute));
    assert_eq!(touch(1_000), None);
    assert_eq!(touch(limits::SIGNAL_AGAIN_MS), Some(SignalKind::HoneyRoute));
}

#[test]
fn places_of_a_token() {
    let check = |is_person: bool, networks: u8, step_ms: u64, expect: usize| {
        let (watch, token) = (watch(), "t4x8k2m9q1r7z".parse::<TokenId>().unwrap());
        let found = (0..networks)
            .filter_map(|n| watch.place(&token, is_person, [10, n, 0, 1].into(), u64::from(n) * step_ms));
        assert_eq!(found.count(), expect, "{networks} networks, one in {step_ms} ms");
    };
    check(true, 3, 1_000, 0);
    check(true, 20, 1_000, 1);
    check(true, 20, limits::TOKEN_PLACES_MS / 3, 0);
    check(false, 20, 1_000, 0);
    check(false, 60, 1_000, 1);
    let (watch, token) = (watch(), "t4x8k2m9q1r7z".parse::<TokenId>().unwrap());
    let near = (0..250).filter_map(|n| watch.place(&token, true, [10, 0, 0, n].into(), 0));
    assert_eq!(near.count(), 0, "one network with many addresses");
}

#[test]
fn memory_is_bounded_and_tenants_are_apart() {
    let watch = Watch::new(Thresholds { keys_max: 160, ..Thresholds::default() });
    for n in 0..100_000_u32 {
        watch.note(Sign::NotFound("/x"), None, Ipv4Addr::from_bits(n).into(), u64::from(n));
    }
    assert!(watch.remembered().0 <= 160, "{:?}", watch.remembered());
    let (one, two): (TenantId, TenantId) = ("one".parse().unwrap(), "two".parse().unwrap());
    let watch = self::watch();
    for n in 0..60 {
        let tenant = if n % 2 == 0 { &one } else { &two };
        assert_eq!(watch.note(Sign::NotFound(&format!("/{n}")), Some(tenant), A, 0), None, "{n}");
    }
}
