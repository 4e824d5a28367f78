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
    assert!(!found.is_empty() && found.len() <= 5, "once in ten minutes: {found:?}");
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
fn each_bait_is_told_of() {
    let watch = watch();
    let touch = |sign, at| watch.note(sign, None, A, at).map(|signal| signal.kind);
    let (one, two): (TokenId, TokenId) = ("t4x8k2m9q1r7z".parse().unwrap(), "t4x8k2m9q1r70".parse().unwrap());
    let (route, token) = (Some(SignalKind::HoneyRoute), Some(SignalKind::HoneyToken));
    assert_eq!(touch(Sign::HoneyRoute("/a"), 0), route);
    assert_eq!(touch(Sign::HoneyToken(&one), 1), token, "a token is no route");
    assert_eq!(touch(Sign::HoneyRoute("/b"), 2), route);
    assert_eq!(touch(Sign::HoneyToken(&two), 3), token);
    for (sign, at) in [(Sign::HoneyRoute("/a"), 4), (Sign::HoneyToken(&one), 5), (Sign::HoneyRoute("/b"), 6)]
    {
        assert_eq!(touch(sign, at), None, "{sign:?}");
    }
    assert_eq!(touch(Sign::HoneyRoute("/a"), limits::SIGNAL_AGAIN_MS), route);
    let paths: Vec<String> = (0..10_000).map(|n| format!("/{n}")).collect();
    let all = paths.iter().filter(|path| watch.note(Sign::HoneyRoute(path), None, A, 7).is_some()).count();
    assert_eq!(all, 10_000);
}

#[test]
fn nothing_is_gained_by_the_moment_at_which_somebody_begins() {
    // As many as make a signal, spread over a window or in two bursts, from wherever the clock stands.
    let check = |window_ms: u64, most: u32, sign: &dyn Fn(&Watch, u32, u64) -> Option<Signal>| {
        for begun_ms in (0..=window_ms).step_by(usize::try_from(window_ms / 16).unwrap()) {
            for apart_ms in [1, window_ms / 2, window_ms - 1] {
                let watch = watch();
                let at = |n: u32| begun_ms + if n < most / 4 * 3 { 0 } else { apart_ms };
                // Of many different things some are taken for one.
                let found = (0..most / 4 * 6).find_map(|n| sign(&watch, n, at(n)));
                assert!(found.is_some(), "{most} within {window_ms} ms from {begun_ms}, {apart_ms} apart");
            }
        }
    };
    let miss = |watch: &Watch, n: u32, at| watch.note(Sign::NotFound(&format!("/{n}")), None, A, at);
    check(limits::PROBING_MS, limits::PROBING_POINTS, &miss);
    check(limits::STUFFING_MS, limits::STUFFING_OF_SOURCE, &|watch, n, at| {
        watch.note(Sign::BadCredential(&n.to_be_bytes()), None, A, at)
    });
    check(limits::STUFFING_MS, limits::STUFFING_OF_CLAIM, &|watch, n, at| {
        watch.claim(&n.to_be_bytes(), None, "alice", at)
    });
    // What is too old is not counted: one less than makes a signal, again and again.
    let watch = watch();
    for burst in 0..20_u64 {
        for n in 0..limits::PROBING_POINTS / 2 {
            let path = format!("/{burst}/{n}");
            let at = burst * (limits::PROBING_MS + limits::PROBING_MS / STEPS);
            let signal = watch.note(Sign::NotFound(&path), None, A, at);
            assert!(signal.is_none_or(|signal| signal.said.contains("3600 s")), "{path}");
        }
    }
}

#[test]
fn places_of_a_credential() {
    let check = |is_person: bool, networks: u8, step_ms: u64, expect: usize| {
        let (watch, id) = (watch(), "t4x8k2m9q1r7z".parse().unwrap());
        let token = Credential::Token(&id);
        let found = (0..networks)
            .filter_map(|n| watch.place(token, is_person, [10, n, 0, 1].into(), u64::from(n) * step_ms));
        assert_eq!(found.count(), expect, "{networks} networks, one in {step_ms} ms");
    };
    check(true, 3, 1_000, 0);
    check(true, 20, 1_000, 1);
    check(true, 20, limits::TOKEN_PLACES_MS / 3, 0);
    check(false, 20, 1_000, 0);
    check(false, 60, 1_000, 1);
    let (watch, id) = (watch(), "t4x8k2m9q1r7z".parse().unwrap());
    let token = Credential::Token(&id);
    let near = (0..250).filter_map(|n| watch.place(token, true, [10, 0, 0, n].into(), 0));
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
