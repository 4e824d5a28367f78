use super::*;

fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, rest].concat()
}

fn parsed(bytes: &[u8]) -> Result<Proxied, ProxyError> {
    let (fixed, rest) = bytes.split_first_chunk().unwrap();
    parse(fixed, rest)
}

const V4: [u8; 12] = [203, 0, 113, 9, 192, 0, 2, 1, 0x15, 0xb3, 0x20, 0xfb];

fn v6(source: &str) -> Vec<u8> {
    let source: Ipv6Addr = source.parse().unwrap();
    [&source.octets()[..], &[0; 16], &[0x15, 0xb3, 0x20, 0xfb]].concat()
}

fn with(rest: &[u8], more: &[&[u8]]) -> Vec<u8> {
    [&[rest][..], more].concat().concat()
}

/// A header over IPv4 with a checksum between two other extensions.
fn summed() -> Vec<u8> {
    let noop = [0x04, 0, 2, 7, 7];
    let mut bytes = header(0x21, 0x11, &with(&V4, &[&noop, &[TLV_CRC32C, 0, 4, 0, 0, 0, 0], &noop]));
    let sum = crc32c(bytes.iter().copied()).to_be_bytes();
    bytes[16 + 12 + 5 + 3..16 + 12 + 5 + 7].copy_from_slice(&sum);
    bytes
}

#[test]
fn the_checksum_is_the_known_one() {
    assert_eq!(crc32c(b"123456789".iter().copied()), 0xE306_9283);
    assert_eq!(crc32c([0_u8; 32].into_iter()), 0x8A91_36AA);
}

#[test]
fn who_is_behind() {
    let check = |bytes: &[u8], expect: &str| {
        assert_eq!(parsed(bytes), Ok(Proxied::Source(expect.parse().unwrap())), "{bytes:?}");
    };
    check(&header(0x21, 0x11, &V4), "203.0.113.9:5555");
    check(&header(0x21, 0x21, &v6("2001:db8::7")), "[2001:db8::7]:5555");
    check(&header(0x21, 0x21, &v6("::ffff:203.0.113.9")), "203.0.113.9:5555");
    check(&header(0x21, 0x11, &with(&V4, &[&[0x01, 0, 2], b"h2", &[0x04, 0, 0]])), "203.0.113.9:5555");
    check(&summed(), "203.0.113.9:5555");
    for local in [header(0x20, 0x00, &[]), header(0x20, 0x11, &V4), header(0x20, 0x31, &[0; 216])] {
        assert_eq!(parsed(&local), Ok(Proxied::Local), "{local:?}");
    }
}

#[test]
fn what_is_no_header() {
    use ProxyError as E;
    let check = |bytes: &[u8], expect: E| assert_eq!(parsed(bytes), Err(expect), "{bytes:?}");
    check(b"PROXY TCP4 203.0.113.9 192.0.2.1 5555 443\r\n", E::Signature);
    check(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", E::Signature);
    check(&[0x16; 40], E::Signature);
    let mut cut = header(0x21, 0x11, &V4);
    cut[11] = b'\r';
    check(&cut, E::Signature);
    for command in [0x00, 0x01, 0x10, 0x11, 0x22, 0x2f, 0x31, 0xff] {
        check(&header(command, 0x11, &V4), E::Command);
    }
    for family in [0x00, 0x01, 0x10, 0x12, 0x13, 0x20, 0x22, 0x31, 0x32, 0x41, 0xff] {
        check(&header(0x21, family, &[0; 216]), E::Family);
    }
    check(&header(0x20, 0x77, &[]), E::Family);
    check(&header(0x21, 0x11, &V4[..11]), E::Length);
    check(&header(0x21, 0x11, &[]), E::Length);
    check(&header(0x21, 0x21, &V4), E::Length);
    check(&header(0x20, 0x21, &V4), E::Length);
    check(&header(0x21, 0x11, &[0; 4000]), E::Length);
    let mut longer = header(0x21, 0x11, &V4);
    longer.push(0);
    check(&longer, E::Length);
    for extension in [&[1][..], &[1, 0], &[1, 0, 1], &[1, 0xff, 0xff, 0], &[4, 0, 0, 9]] {
        check(&header(0x21, 0x11, &with(&V4, &[extension])), E::Extension);
    }
    check(&header(0x21, 0x11, &with(&V4, &[&[TLV_CRC32C, 0, 3, 1, 2, 3]])), E::Extension);
    check(&header(0x21, 0x11, &with(&V4, &[&[TLV_CRC32C, 0, 4, 1, 2, 3, 4]])), E::Checksum);
    let sum = [TLV_CRC32C, 0, 4, 0, 0, 0, 0];
    let mut twice = header(0x21, 0x11, &with(&V4, &[&sum, &sum]));
    let first = crc32c(twice.iter().copied()).to_be_bytes();
    twice[16 + 15..16 + 19].copy_from_slice(&first);
    check(&twice, E::Extension);
    let whole = summed();
    // The fixed part is looked at above; what is no checksum any more (33) checks nothing.
    for at in (16..whole.len()).filter(|at| *at != 33) {
        let mut other = whole.clone();
        other[at] ^= 1;
        assert!(parsed(&other).is_err(), "{at}");
    }
}
