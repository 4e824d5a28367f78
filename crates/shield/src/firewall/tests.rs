use model::{Timestamp, limits};

use super::*;

const AT: At = At { now: Timestamp::from_unix_ms(1_000_000), now_ms: 5_000 };

fn list(texts: &[&str]) -> Vec<Entry> {
    texts.iter().map(|t| t.parse().unwrap()).collect()
}

fn sets() -> Sets {
    let mut sets = Sets::default();
    let text =
        "# who\n198.51.100.0/24\n\n 2001:db8:5::/48 # an office\n192.0.2.9 until=1970-01-01T00:16:41Z\n";
    assert_eq!(sets.put("offices", text, AT), Ok(3));
    sets
}

fn check_at(allow: &[&str], deny: &[&str], address: &str, now_ms: u64, expect: bool) {
    let firewall = Firewall::new(&list(allow), &list(deny), AT);
    let found = firewall.permits(address.parse().unwrap(), now_ms, &sets());
    assert_eq!(found, expect, "{allow:?} {deny:?} {address} {now_ms}");
}

fn check(allow: &[&str], deny: &[&str], address: &str, expect: bool) {
    check_at(allow, deny, address, 5_000, expect);
}

#[test]
fn who_may_speak() {
    check(&[], &[], "203.0.113.9", true);
    check(&[], &["203.0.113.0/24"], "203.0.114.0", true);
    check(&["10.0.0.0/8"], &[], "10.255.255.255", true);
    check(&["10.0.0.0/8", "::1"], &[], "::1", true);
    check(&["0.0.0.0/0"], &[], "198.51.100.1", true);
    check(&["10.0.0.0/8"], &[], "::ffff:10.1.2.3", true);
    check(&["10.0.0.0/9", "10.128.0.0/9", "10.0.0.0/10"], &[], "10.127.255.255", true);
    check(&["set:offices"], &[], "198.51.100.77", true);
    check(&["10.0.0.0/8", "set:offices"], &[], "2001:db8:5:1::1", true);
    check(&[], &["set:offices"], "198.51.101.1", true);
}

#[test]
fn who_may_not() {
    check(&[], &["203.0.113.0/24"], "203.0.113.0", false);
    check(&[], &["203.0.113.0/24"], "203.0.113.255", false);
    check(&[], &["203.0.113.0/24"], "::ffff:203.0.113.7", false);
    check(&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.0.1", false);
    check(&["10.1.0.1"], &["10.0.0.0/8"], "10.1.0.1", false);
    check(&["10.0.0.0/8"], &[], "11.0.0.0", false);
    check(&["10.0.0.0/8"], &[], "9.255.255.255", false);
    check(&["10.0.0.0/8"], &[], "::1", false);
    check(&["0.0.0.0/0"], &[], "2001:db8::1", false);
    check(&[], &["::/0"], "192.0.2.1", false);
    check(&[], &["2001:db8::/32"], "2001:db8:ffff::1", false);
    check(&["set:offices"], &[], "198.51.101.1", false);
    check(&["0.0.0.0/0"], &["set:offices"], "::ffff:198.51.100.1", false);
    check(&["set:nobody-knows"], &[], "198.51.100.1", false);
    check(&[], &["set:nobody-knows"], "203.0.113.9", false);
}

/// `until` is one second after the lists were read, at 5000 ms of the other clock.
#[test]
fn entries_end() {
    let until = "10.0.0.0/8 until=1970-01-01T00:16:41Z";
    check_at(&[until], &[], "10.0.0.1", 5_999, true);
    check_at(&[until], &[], "10.0.0.1", 6_000, false);
    check_at(&[], &[until], "10.0.0.1", 5_999, false);
    check_at(&[], &[until], "10.0.0.1", 6_000, true);
    check_at(&["set:offices"], &[], "192.0.2.9", 5_999, true);
    check_at(&["set:offices"], &[], "192.0.2.9", 6_000, false);
    check_at(&["set:offices until=1970-01-01T00:16:41Z"], &[], "198.51.100.1", 6_000, false);
    check_at(&["10.0.0.0/8 until=1970-01-01"], &[], "10.0.0.1", 5_000, false);
    check_at(&["10.0.0.0/8 until=1970-01-01"], &[], "203.0.113.9", 5_000, false);
    check_at(&[], &["10.0.0.0/8", "10.1.0.0/16 until=1970-01-01"], "10.1.0.1", 5_000, false);
}

#[test]
fn what_is_no_range() {
    for text in [
        "",
        "10",
        "10.0.0.0/33",
        "10.0.0.1/8",
        "::1/129",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "a/8",
        "10.0.0.0/",
        "/8",
        "010.0.0.0/8",
        "10.0.0.0/08/1",
        "10.0.0.0-10.0.0.9",
        "fe80::1%eth0",
        "[::1]",
        "example.com",
        "0x0a000000",
        "10.0.0.0/8,",
    ] {
        assert!(text.parse::<Cidr>().is_err(), "{text}");
        assert!(text.parse::<Entry>().is_err(), "{text}");
    }
    assert_eq!("192.0.2.1".parse::<Cidr>().unwrap().to_string(), "192.0.2.1/32");
}

#[test]
fn what_is_no_entry() {
    for text in [
        "set:",
        "set:A",
        "set:a b",
        "set:a/8",
        "sets:a",
        "10.0.0.0/8 until",
        "10.0.0.0/8 until=",
        "10.0.0.0/8 until=tomorrow",
        "10.0.0.0/8 until=2027-01-01 x",
        "10.0.0.0/8 since=2027-01-01",
        "10.0.0.0/8 10.0.0.0/9",
        "until=2027-01-01",
    ] {
        assert!(text.parse::<Entry>().is_err(), "{text}");
    }
    let kept = "set:offices until=2027-01-01T00:00:00.000Z";
    assert_eq!(kept.parse::<Entry>().unwrap().to_string(), kept);
}

#[test]
fn what_is_no_set() {
    let mut sets = sets();
    for (text, expect) in [
        ("10.0.0.0/8\n10.0.0.1/8\n", "line 2: `10.0.0.1/8`"),
        ("\n\nset:other", "line 3: `set:other` stands within"),
        ("10.0.0.0/8 // old", "line 1: `// old` is no end"),
        ("10.0.0.0/8; 10.1.0.0/16", "line 1"),
    ] {
        let said = sets.put("offices", text, AT).unwrap_err().to_string();
        assert!(said.contains(expect), "{said}");
    }
    assert!(sets.named_holds("offices", "198.51.100.1"), "what was there stays");
    let many = "10.0.0.1\n".repeat(limits::FIREWALL_SET_RANGES_MAX + 1);
    assert_eq!(sets.put("many", &many, AT), Err(SetError::TooMany));
    assert!(sets.put("No", "", AT).is_err() && !sets.has("many"));
    let firewall = Firewall::new(&list(&["set:offices", "set:a"]), &list(&["set:b"]), AT);
    assert_eq!(firewall.unknown(&sets).collect::<Vec<_>>(), ["a", "b"]);
    assert!(!firewall.is_open() && Firewall::default().is_open());
}

impl Sets {
    fn named_holds(&self, name: &str, address: &str) -> bool {
        let firewall = Firewall::new(&list(&[&format!("set:{name}")]), &[], AT);
        firewall.permits(address.parse().unwrap(), 0, self)
    }
}

#[test]
fn a_source_of_ipv6_is_its_network() {
    let of = |text: &str| source(text.parse().unwrap());
    assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
    assert_ne!(of("2001:db8:0:1::1"), of("2001:db8::1"));
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    assert_ne!(of("192.0.2.2"), of("192.0.2.1"));
}

#[test]
fn a_range_has_one_name_and_one_family() {
    let of = |text: &str| text.parse::<Cidr>().map(|range| range.to_string());
    for (text, expect) in [
        ("::ffff:10.0.0.1", "10.0.0.1/32"),
        ("::ffff:10.0.0.1/128", "10.0.0.1/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("2001:db8::", "2001:db8::/128"),
    ] {
        assert_eq!(of(text).as_deref(), Ok(expect), "{text}");
    }
    for text in ["::ffff:10.0.0.1/129", "::ffff:10.0.0.1/104", "::ffff:10.0.0.1/32", "10.0.0.0/33"] {
        assert!(of(text).is_err(), "{text}");
    }
    let holds =
        |range: &str, address: &str| range.parse::<Cidr>().unwrap().contains(address.parse().unwrap());
    assert!(
        holds("::/0", "2001:db8::1") && !holds("::/0", "192.0.2.1") && !holds("::/0", "::ffff:192.0.2.1")
    );
    assert!(holds("0.0.0.0/0", "::ffff:192.0.2.1") && !holds("0.0.0.0/0", "::1"));
}
