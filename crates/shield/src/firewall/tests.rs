use super::*;

fn list(texts: &[&str]) -> Vec<Cidr> {
    texts.iter().map(|t| t.parse().unwrap()).collect()
}

fn check(allow: &[&str], deny: &[&str], address: &str, expect: bool) {
    let firewall = Firewall::new(&list(allow), &list(deny));
    assert_eq!(firewall.permits(address.parse().unwrap()), expect, "{allow:?} {deny:?} {address}");
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
}

#[test]
fn who_may_not() {
    check(&[], &["203.0.113.0/24"], "203.0.113.0", false);
    check(&[], &["203.0.113.0/24"], "203.0.113.255", false);
    check(&[], &["203.0.113.0/24"], "::ffff:203.0.113.7", false);
    check(&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.0.1", false);
    check(&["10.0.0.0/8"], &[], "11.0.0.0", false);
    check(&["10.0.0.0/8"], &[], "9.255.255.255", false);
    check(&["10.0.0.0/8"], &[], "::1", false);
    check(&["0.0.0.0/0"], &[], "2001:db8::1", false);
    check(&[], &["::/0"], "192.0.2.1", false);
    check(&[], &["2001:db8::/32"], "2001:db8:ffff::1", false);
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
    ] {
        assert!(text.parse::<Cidr>().is_err(), "{text}");
    }
    assert_eq!("192.0.2.1".parse::<Cidr>().unwrap().to_string(), "192.0.2.1/32");
}

#[test]
fn a_source_of_ipv6_is_its_network() {
    let of = |text: &str| source(text.parse().unwrap());
    assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
    assert_ne!(of("2001:db8:0:1::1"), of("2001:db8::1"));
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    assert_ne!(of("192.0.2.2"), of("192.0.2.1"));
}
