//! Clients who say that they are somebody else, who are on a list, and who ask too often. Sources are addresses of this
//! machine's own network, and what forwarders say of others.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    line::{Heard, PATIENCE, Site},
    support::guest,
};

/// A header of the PROXY protocol, version 2, over IPv4.
fn proxy(command: u8, source: [u8; 4]) -> Vec<u8> {
    let [a, b, c, d] = source;
    let fixed = [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, 0x11, 0, 12]].concat();
    [fixed, vec![a, b, c, d, 127, 0, 0, 1, 0x15, 0xb3, 0x20, 0xfb]].concat()
}

/// What comes until the connection ends.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // The end may be a reset.
    let _ended = stream.read_to_end(&mut bytes);
    bytes
}

/// One request from this address, on a connection of its own.
fn ask(site: &Site, source: &str, lines: &str) -> Heard {
    let mut line = site.secure_over(site.plain_from(source), "http/1.1");
    line.send((site.head("GET /echo/asked") + lines + "\r\n").as_bytes()).unwrap();
    line.answer()
}

#[track_caller]
fn statuses(heard: &Heard, expect: u16) {
    assert_eq!(heard.statuses(), [expect], "{heard:?}");
}

#[test]
fn a_forged_forwarding_header() {
    let config = "[proxy]\nforwarded = [\"127.0.0.2\"]\n[firewall]\ndeny = [\"203.0.113.0/24\"]\n";
    let site = Site::configured(config, "");
    let forged = "x-forwarded-for: 203.0.113.9\r\nforwarded: for=203.0.113.9\r\nx-real-ip: 203.0.113.9\r\n";
    // Nobody but the forwarder is believed, and no function reads what others write.
    let heard = ask(&site, "127.0.0.1", forged);
    statuses(&heard, 200);
    assert!(!heard.text.contains("203.0.113.9"), "{heard:?}");
    // What stands to the left of the client's address was written by the client.
    let hidden = "x-forwarded-for: 192.0.2.1, 203.0.113.9\r\n";
    let heard = ask(&site, "127.0.0.2", hidden);
    statuses(&heard, 403);
    assert!(heard.text.contains("\"address-refused\""), "{heard:?}");
    site.left_by("address-refused", "203.0.113.9");
    // The header that the forwarder does not write is its clients'.
    let heard = ask(&site, "127.0.0.2", "forwarded: for=192.0.2.1\r\nx-forwarded-for: 203.0.113.9\r\n");
    statuses(&heard, 403);
    // A function is told of one source, and the record has it.
    let heard = ask(&site, "127.0.0.2", "x-forwarded-for: 203.0.113.9, 198.51.100.7\r\n");
    statuses(&heard, 200);
    assert!(heard.text.contains("[\"x-forwarded-for\",\"198.51.100.7\"]"), "{heard:?}");
    assert!(!heard.text.contains("203.0.113.9"), "{heard:?}");
    let decided = site.node.records(&["--function", "echo", "--limit", "50"]);
    assert!(decided.iter().any(|e| e["source"] == "198.51.100.7" && e["allowed"] == true), "{decided:?}");
    let heard = ask(&site, "127.0.0.2", "x-forwarded-for: <script>\r\n");
    statuses(&heard, 400);
    assert!(heard.text.contains("\"forwarded-malformed\""), "{heard:?}");
    site.left_by("forwarded-malformed", "127.0.0.2");
    site.is_well();
}

#[test]
fn a_forged_proxy_header() {
    let config = "[proxy]\ntrusted = [\"127.0.0.2\"]\n[firewall]\ndeny = [\"203.0.113.0/24\"]\n";
    let site = Site::configured(config, "");
    // From anybody else it is what garbage is.
    let mut stream = site.plain();
    stream.write_all(&proxy(0x21, [198, 51, 100, 7])).unwrap();
    assert_eq!(rest(stream), b"");
    site.left("handshake-failed");
    // A forwarder that sends none, half of one, version 1, or no source.
    let cut = proxy(0x21, [198, 51, 100, 7]);
    let v1 = b"PROXY TCP4 198.51.100.7 127.0.0.1 5555 443\r\n";
    let hello = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), &[7; 64]].concat();
    for sent in [&hello[..], v1, &cut[..20], &[&cut[..13], &[0x31, 0, 0]].concat()] {
        let mut stream = site.plain_from("127.0.0.2");
        stream.write_all(sent).unwrap();
        // The node may have ended it already.
        let _ended = stream.shutdown(std::net::Shutdown::Write);
        assert_eq!(rest(stream), b"", "{sent:?}");
    }
    site.left_by("proxy-header", "127.0.0.2");
    // Whom it names is who is there.
    let named = |source: [u8; 4]| {
        let mut stream = site.plain_from("127.0.0.2");
        stream.write_all(&proxy(0x21, source)).unwrap();
        stream
    };
    let mut line = site.secure_over(named([198, 51, 100, 7]), "http/1.1");
    line.send((site.head("GET /echo/behind") + "\r\n").as_bytes()).unwrap();
    statuses(&line.answer(), 200);
    let decided = site.node.records(&["--function", "echo", "--limit", "50"]);
    assert!(decided.iter().any(|e| e["source"] == "198.51.100.7" && e["allowed"] == true), "{decided:?}");
    assert_eq!(rest(named([203, 0, 113, 9])), b"");
    site.left_by("address-refused", "203.0.113.9");
    // A forwarder that looks whether all is well speaks for itself.
    let mut stream = site.plain_from("127.0.0.2");
    stream.write_all(&proxy(0x20, [203, 0, 113, 9])).unwrap();
    let mut line = site.secure_over(stream, "http/1.1");
    line.send((site.head("GET /echo/itself") + "\r\n").as_bytes()).unwrap();
    statuses(&line.answer(), 200);
    // One that says nothing is let go, and takes nobody's place.
    let silent = site.plain_from("127.0.0.2");
    let begun = Instant::now();
    assert_eq!(rest(silent), b"");
    assert!(begun.elapsed() < PATIENCE);
    site.is_well();
}

/// A hundred thousand ranges, of which nobody here is in any, and then these.
fn ranges(more: &str) -> String {
    let mut text = String::from("# a list of somebody else's\n");
    for n in 0..100_000_u32 {
        text.push_str(&format!("{}/32\n", std::net::Ipv4Addr::from_bits(0x0a00_0000 + n * 7)));
    }
    text + more
}

#[test]
fn a_list_is_changed_under_load() {
    let home = crate::support::Home::new();
    let (file, next) = (home.path().join("bad.txt"), home.path().join("bad.next"));
    let write = |text: &str| {
        fs::write(&next, text).unwrap();
        fs::rename(&next, &file).unwrap();
    };
    write(&ranges(""));
    let config = "[firewall]\ndeny = [\"set:bad\"]\n[firewall.sets.bad]\nfile = \"bad.txt\"\n";
    let site = Site::at(home, config, "");
    let changed = |count: usize| {
        let begun = Instant::now();
        loop {
            let events = site.node.records(&["--of-node", "--limit", "1000"]);
            let read = |e: &&serde_json::Value| e["action"] == "firewall" && e["allowed"] == true;
            if events.iter().filter(read).count() >= count {
                return events;
            }
            assert!(begun.elapsed() < PATIENCE, "the list was not read again: {events:?}");
            thread::sleep(Duration::from_millis(100));
        }
    };
    let mut other = site.secure_over(site.plain_from("127.0.0.3"), "http/1.1");
    let mut serve_other = |expect: u16| {
        other.send((site.head("GET /echo/other") + "\r\n").as_bytes()).unwrap();
        statuses(&other.answer(), expect);
    };
    serve_other(200);
    let over = AtomicBool::new(false);
    let served = thread::scope(|scope| {
        let friend = scope.spawn(|| {
            // One connection all the while: nothing ends it, and each of its requests is served.
            let mut line = site.secure("http/1.1");
            let (request, mut served) = (site.head("GET /echo/friend") + "\r\n", 0);
            while !over.load(Ordering::Relaxed) {
                line.send(request.as_bytes()).unwrap();
                statuses(&line.answer(), 200);
                served += 1;
            }
            served
        });
        write(&ranges("192.0.2.0/24 until=2100-01-01\n"));
        changed(1);
        write(&ranges("127.0.0.3 # by now\n"));
        changed(2);
        // Who is on it by now is refused on the connection that was there, and finds no other.
        serve_other(403);
        assert_eq!(rest(site.plain_from("127.0.0.3")), b"");
        // What is no list changes nothing, and is said.
        write("127.0.0.1\n127.0.0.1/8\n");
        let begun = Instant::now();
        while !changed(2).iter().any(|e| e["code"] == "lists-unreadable") {
            assert!(begun.elapsed() < PATIENCE);
            thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(rest(site.plain_from("127.0.0.3")), b"");
        write(&ranges(""));
        changed(3);
        over.store(true, Ordering::Relaxed);
        friend.join().unwrap()
    });
    assert!(served > 10, "{served}");
    statuses(&ask(&site, "127.0.0.3", ""), 200);
    site.left_by("address-refused", "127.0.0.3");
    site.is_well();
}

#[test]
fn a_configuration_is_read_again() {
    let site = Site::configured("", "");
    let config = site.node.home.path().join("node.toml");
    let read_again = |text: &str| {
        fs::write(&config, text).unwrap();
        site.node.hang_up();
    };
    let wait = |source: &str, is_in: bool| {
        let begun = Instant::now();
        let is_served = || {
            let mut stream = site.plain_from(source);
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            // Who is let in is waited for; who is not is cut off.
            matches!(stream.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
        };
        while is_served() != is_in {
            assert!(begun.elapsed() < PATIENCE, "{source}");
        }
    };
    wait("127.0.0.4", true);
    read_again("[firewall]\ndeny = [\"127.0.0.4\"]\n");
    wait("127.0.0.4", false);
    read_again("[firewall]\ndeny = [\"127.0.0.4/8\"]\n");
    let begun = Instant::now();
    while !site.node.log().contains("the lists stay as they are") {
        assert!(begun.elapsed() < PATIENCE, "{}", site.node.log());
    }
    wait("127.0.0.4", false);
    read_again("[firewall.control]\ndeny = [\"127.0.0.5\"]\n");
    wait("127.0.0.4", true);
    wait("127.0.0.5", true);
    let control = site.node.control().rsplit('/').next().unwrap().replace("localhost", "127.0.0.1");
    let mut refused = Site::from_to("127.0.0.5", &control);
    assert_eq!(refused.read(&mut [0]).unwrap_or(0), 0);
    site.left_by("address-refused", "127.0.0.5");
    site.is_well();
}

/// Whoever asks more often than a function takes is told when to come again, and takes nothing from another source.
#[test]
fn a_flood_from_one_source() {
    let site = Site::with("[shield.rate]\nsource = { requests = 5, seconds = 60, burst = 8 }\n");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let flood = |source: &'static str| {
            let (site, over) = (&site, &over);
            move || {
                let (mut line, request) = (
                    site.secure_over(site.plain_from(source), "http/1.1"),
                    site.head("GET /echo/x") + "\r\n",
                );
                let mut codes = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    if line.send(request.as_bytes()).is_err() {
                        line = site.secure_over(site.plain_from(source), "http/1.1");
                        continue;
                    }
                    let heard = line.answer();
                    codes.extend(heard.statuses());
                    if heard.statuses() == [429] {
                        assert!(heard.text.contains("\"function-source-rate\""), "{heard:?}");
                        for said in [
                            "retry-after: ",
                            "ratelimit-policy: \"source\";q=8;w=96",
                            "ratelimit: \"source\";r=0;t=",
                        ] {
                            assert!(heard.text.contains(said), "{said} in {heard:?}");
                        }
                    }
                }
                codes
            }
        };
        let floods = [scope.spawn(flood("127.0.0.2")), scope.spawn(flood("127.0.0.2"))];
        for n in 0..6 {
            let heard = ask(&site, "127.0.0.3", "");
            statuses(&heard, 200);
            let told = format!("ratelimit: \"source\";r={};t=", 7 - n);
            assert!(heard.text.contains(&told), "{told} in {heard:?}");
            thread::sleep(Duration::from_millis(50));
        }
        over.store(true, Ordering::Relaxed);
        let codes: Vec<u16> = floods.into_iter().flat_map(|flood| flood.join().unwrap()).collect();
        assert_eq!(codes.iter().filter(|code| **code == 200).count(), 8, "{codes:?}");
        assert!(codes.contains(&429), "{codes:?}");
    });
    let event = site.left_by("function-source-rate", "127.0.0.2");
    assert_eq!(event["tenant"], "default", "{event}");
}

#[test]
fn who_is_not_for_a_function_or_a_tenant() {
    let config = "[firewall.sets.offices]\nranges = [\"127.0.0.2\", \"127.0.0.3\"]\n";
    let site = Site::configured(
        config,
        "[shield]\nallow = [\"set:offices\", \"127.0.0.1\"]\ndeny = [\"127.0.0.3\"]\n",
    );
    statuses(&ask(&site, "127.0.0.2", ""), 200);
    for source in ["127.0.0.3", "127.0.0.4"] {
        let heard = ask(&site, source, "");
        statuses(&heard, 403);
        assert!(heard.text.contains("\"source-denied\""), "{heard:?}");
        assert_eq!(site.left_by("source-denied", source)["tenant"], "default");
    }
    let folder = |list: &str| {
        let text = format!("[access]\nallow = \"tenant\"\n[shield]\nallow = [\"{list}\"]\n");
        site.node.home.function("other", &guest("hello"), &text).to_str().unwrap().to_owned()
    };
    for (list, says) in [("set:nobody", "`set:nobody` is no set"), ("10.0.0.1/8", "`10.0.0.1/8` is no range")]
    {
        site.node.run(&["deploy", &folder(list), "--no-build"]).fails(1, says);
    }
    // A tenant's lists hold for all its functions at once, and after a restart.
    site.node.run(&["tenant", "set", "default", "--deny", "127.0.0.2", "--rate", "source=1/60:2"]).ok();
    statuses(&ask(&site, "127.0.0.2", ""), 403);
    let answers = [1, 2, 3].map(|_| ask(&site, "127.0.0.1", "").statuses());
    assert_eq!(answers.concat(), [200, 200, 429]);
    site.left_by("tenant-source-rate", "127.0.0.1");
    site.node.run(&["tenant", "set", "default", "--allow", "set:nobody"]).fails(1, "`set:nobody` is no set");
    site.node.run(&["tenant", "set", "default", "--rate", "none"]).ok();
    let Site { node, token } = site;
    let node = crate::support::TestNode::start_with(node.stop(), "");
    let site = Site { node, token };
    // The set is gone with the configuration: nobody is let in by it.
    statuses(&ask(&site, "127.0.0.2", ""), 403);
    statuses(&ask(&site, "127.0.0.1", ""), 200);
    assert!(site.node.log().contains("names a set of addresses that this node has not"));
    site.node.run(&["tenant", "set", "default", "--deny", "none"]).ok();
    statuses(&ask(&site, "127.0.0.2", ""), 403);
}

/// What is permitted is not stopped, but a source that asks little waits for few runs of one that asks without end.
#[test]
fn a_permitted_flood_from_one_source() {
    const FLOODING: usize = 48;
    const ASKED: usize = 100;
    let site = Site::with("");
    let over = AtomicBool::new(false);
    let request = site.head("GET /echo/x") + "\r\n";
    let times = |source: &str, is_over: &dyn Fn(usize) -> bool, pause: Duration| {
        let mut line = site.secure_over(site.plain_from(source), "http/1.1");
        let mut times = Vec::new();
        while !is_over(times.len()) {
            let asked = Instant::now();
            line.send(request.as_bytes()).unwrap();
            statuses(&line.answer(), 200);
            times.push(asked.elapsed());
            thread::sleep(pause);
        }
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    };
    thread::scope(|scope| {
        let flood = || times("127.0.0.2", &|_| over.load(Ordering::Relaxed), Duration::ZERO);
        let floods: Vec<_> = (0..FLOODING).map(|_| scope.spawn(flood)).collect();
        let asks = || times("127.0.0.3", &|asked| asked == ASKED, Duration::from_millis(5));
        // The least of some: whatever else the machine does only ever adds to it.
        let other = (0..3).map(|_| asks()).min().unwrap();
        over.store(true, Ordering::Relaxed);
        let mut floods: Vec<_> = floods.into_iter().map(|flood| flood.join().unwrap()).collect();
        floods.sort_unstable();
        let own = floods.get(FLOODING / 2).copied().unwrap();
        assert!(2 * other < own, "{other:?} beside {own:?}");
    });
}
