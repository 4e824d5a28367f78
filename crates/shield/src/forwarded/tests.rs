use http::HeaderValue;

use super::*;

fn forwarders(header: ForwardHeader) -> Forwarders {
    let requests = ["10.0.0.0/8", "2001:db8:f::/48"].iter().map(|t| t.parse::<crate::Cidr>().unwrap());
    Forwarders { requests: requests.collect(), header, ..Forwarders::default() }
}

fn check(header: ForwardHeader, peer: &str, lines: &[(&str, &str)], expect: Result<Option<&str>, ()>) {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
    }
    let found = forwarders(header).source(peer.parse().unwrap(), &headers, 0);
    let expect = expect.map(|text| text.map(|text| text.parse().unwrap())).map_err(|()| ForwardedMalformed);
    assert_eq!(found, expect, "{peer} {lines:?}");
}

fn plain(peer: &str, values: &[&str], expect: Result<Option<&str>, ()>) {
    let lines: Vec<_> = values.iter().map(|value| ("x-forwarded-for", *value)).collect();
    check(ForwardHeader::XForwardedFor, peer, &lines, expect);
}

fn rfc(values: &[&str], expect: Result<Option<&str>, ()>) {
    let lines: Vec<_> = values.iter().map(|value| ("forwarded", *value)).collect();
    check(ForwardHeader::Forwarded, "10.0.0.1", &lines, expect);
}

#[test]
fn who_sent_it() {
    plain("10.0.0.1", &["203.0.113.9"], Ok(Some("203.0.113.9")));
    plain("10.0.0.1", &["203.0.113.9, 10.0.0.7"], Ok(Some("203.0.113.9")));
    plain("10.0.0.1", &["203.0.113.9", "10.0.0.7,10.0.0.8"], Ok(Some("203.0.113.9")));
    plain("10.0.0.1", &["203.0.113.9:4711"], Ok(Some("203.0.113.9")));
    plain("10.0.0.1", &["::ffff:203.0.113.9"], Ok(Some("203.0.113.9")));
    plain("10.0.0.1", &["2001:db8::1"], Ok(Some("2001:db8::1")));
    plain("2001:db8:f::9", &["[2001:db8::1]:4711"], Ok(Some("2001:db8::1")));
    plain("10.0.0.1", &["10.0.0.9, 10.0.0.7"], Ok(Some("10.0.0.9")));
    plain("10.0.0.1", &[" , ,203.0.113.9 ,"], Ok(Some("203.0.113.9")));
    rfc(&["for=203.0.113.9"], Ok(Some("203.0.113.9")));
    rfc(&["for=203.0.113.9;proto=https;by=10.0.0.7, For=\"10.0.0.7:80\""], Ok(Some("203.0.113.9")));
    rfc(&["for=\"[2001:db8::1]:4711\""], Ok(Some("2001:db8::1")));
    rfc(&["for=192.0.2.1;host=\"a,b;for=192.0.2.9\""], Ok(Some("192.0.2.1")));
}

#[test]
fn who_did_not() {
    // Nobody but a forwarder is believed.
    plain("203.0.113.9", &["192.0.2.1"], Ok(None));
    plain("203.0.113.9", &["not an address"], Ok(None));
    plain("10.0.0.1", &[], Ok(None));
    // What its clients wrote stands to the left.
    plain("10.0.0.1", &["192.0.2.1, 203.0.113.9"], Ok(Some("203.0.113.9")));
    plain("10.0.0.1", &["10.0.0.2", "203.0.113.9"], Ok(Some("203.0.113.9")));
    plain("10.0.0.1", &["<script>, 203.0.113.9"], Ok(Some("203.0.113.9")));
    plain("10.0.0.1", &["127.0.0.1,203.0.113.9,10.0.0.7"], Ok(Some("203.0.113.9")));
    // The other header is its clients' too.
    let other = [("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "203.0.113.9")];
    check(ForwardHeader::XForwardedFor, "10.0.0.1", &other, Ok(Some("203.0.113.9")));
    check(ForwardHeader::Forwarded, "10.0.0.1", &other, Ok(Some("192.0.2.1")));
    check(ForwardHeader::Forwarded, "10.0.0.1", &other[1..], Ok(None));
    check(ForwardHeader::XForwardedFor, "10.0.0.1", &[("x-real-ip", "192.0.2.1")], Ok(None));
}

#[test]
fn what_a_forwarder_must_not_write() {
    for text in ["unknown", "a", "203.0.113.9 10.0.0.7", "203.0.113", "203.0.113.9:x", "[::1", "_hidden"] {
        plain("10.0.0.1", &[text], Err(()));
        plain("10.0.0.1", &[&format!("203.0.113.9, {text}, 10.0.0.7")], Err(()));
    }
    for text in [
        "for=unknown",
        "for=_hidden",
        "proto=https",
        "for=\"203.0.113.9",
        "for=192.0.2.1;host=\", for=203.0.113.9",
        "for=192.0.2.1;host=\", for=\"[2001:db8::1]\"",
        "for=192.0.2.1;host=\"\\, for=203.0.113.9",
        "for=203.0.113.9;for=192.0.2.1",
        "203.0.113.9",
        "for=\"203.0.113.\\9\"",
    ] {
        rfc(&[text], Err(()));
    }
}

#[test]
fn what_it_is_told_on_as() {
    let check = |header: ForwardHeader, source: &str, expect: &str| {
        assert_eq!(header.of(source.parse().unwrap()), expect);
    };
    check(ForwardHeader::XForwardedFor, "2001:db8::1", "2001:db8::1");
    check(ForwardHeader::Forwarded, "192.0.2.1", "for=192.0.2.1");
    check(ForwardHeader::Forwarded, "2001:db8::1", "for=\"[2001:db8::1]\"");
}
