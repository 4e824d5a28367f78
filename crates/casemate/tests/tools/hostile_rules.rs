//! Sets of rules that attack the node they are added to: what explodes in memory, never ends, names what is not theirs, or
//! starts something. They are refused and the old rules stay, or they are taken and cost a bounded time.

use std::{
    fs,
    io::Write,
    time::{Duration, Instant},
};

use crate::{
    friend, node, public,
    support::{Answer, Ran, TestNode, guest},
};

/// How long adding rules may take, the command's start included, on a machine that does much else.
const ADD_MAX: Duration = Duration::from_secs(20);
const ATTACK: &str = "/echo?id=1%27%20OR%20%271%27%3D%271";

struct Site {
    node: TestNode,
}

impl Site {
    fn start() -> Self {
        let node = node();
        node.deploy("echo", &guest("echo"), &public());
        Self { node }
    }

    /// Adds files as a set.
    fn add(&self, name: &str, files: &[(&str, &[u8])]) -> Ran {
        let folder = self.node.home.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        for (file, bytes) in files {
            fs::write(folder.join(file), bytes).unwrap();
        }
        let begun = Instant::now();
        let ran = self.node.run(&["shield", "rules", "add", folder.to_str().unwrap()]);
        let taken = begun.elapsed();
        assert!(taken < ADD_MAX, "adding {name} took {taken:?}");
        ran
    }

    /// The set is refused, with this said, and the rules in the box stay in force.
    #[track_caller]
    fn refuses(&self, name: &str, files: &[(&str, &[u8])], says: &str) {
        let ran = self.add(name, files);
        assert_ne!(ran.code, 0, "{name}: {ran:?}");
        assert!(ran.err.contains(says), "{name}: `{says}` is not in {ran:?}");
        assert_eq!(self.node.call("GET", ATTACK, None, b"").status, 403, "{name}: the old rules are gone");
        assert_eq!(self.node.call("GET", "/echo?id=1", None, b"").status, 200, "{name}");
    }

    /// Sends a form, and says how long the answer took.
    fn form(&self, text: &str) -> (Answer, Duration) {
        let headers = &[("content-type", "application/x-www-form-urlencoded")];
        let begun = Instant::now();
        let answer = self.node.call_with(("POST", "/echo"), None, headers, format!("v={text}").as_bytes());
        (answer, begun.elapsed())
    }

    /// The most memory that the node ever had, in KiB.
    fn peak_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.node.info["pid"])).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

fn rule(id: usize, pattern: &str) -> String {
    format!(
        "SecRule ARGS \"@rx {pattern}\" \"id:{id},phase:2,deny,status:403,msg:'a word',severity:CRITICAL\"\n"
    )
}

fn many(count: usize, line: impl Fn(usize) -> String) -> String {
    (1..=count).map(line).collect()
}

#[test]
fn what_explodes_is_refused() {
    let site = Site::start();
    let before = site.peak_kib();
    let refuses =
        |name: &str, text: &str, says: &str| site.refuses(name, &[("a.conf", text.as_bytes())], says);
    refuses("power", &rule(1, "(a{1000}){1000}"), "states");
    refuses("tower", &rule(1, "((((((a{99}){99}){99}){99}){99}){99}){99}"), "states");
    refuses("alternatives", &rule(1, &format!("(?:{})", "a?|b".repeat(20_000))), "states");
    refuses("deep", &rule(1, &format!("{}a{}", "(".repeat(50_000), ")".repeat(50_000))), "not taken");
    refuses("patterns", &many(900, |n| rule(n, &format!("x{n}[ab]{{2000}}"))), "all patterns together");
    refuses("rules", &many(20_001, |n| rule(n, &format!("word{n}"))), "directives");
    let words = many(90_000, |n| format!("word{n}number\n"));
    let lists = many(40, |n| format!("SecRule ARGS \"@pmFromFile words.data {n}.data\" \"id:{n},deny\"\n"));
    let small: Vec<(String, String)> = (1..=40).map(|n| (format!("{n}.data"), format!("x{n}\n"))).collect();
    let mut files = vec![("a.conf", lists.as_bytes()), ("words.data", words.as_bytes())];
    files.extend(small.iter().map(|(name, text)| (name.as_str(), text.as_bytes())));
    site.refuses("lists", &files, "all lists together");
    let grown = site.peak_kib().saturating_sub(before) / 1024;
    eprintln!("sets of rules that explode took at most {grown} MiB");
    assert!(grown < 512, "{grown} MiB");
}

#[test]
fn what_names_too_much_is_refused() {
    let site = Site::start();
    let refuses =
        |name: &str, text: &str, says: &str| site.refuses(name, &[("a.conf", text.as_bytes())], says);
    refuses("loop", "Include a.conf\n", "at most 8 deep");
    refuses("passwd", "Include /etc/passwd\n", "passwd");
    refuses("shadow", "SecRule ARGS \"@pmFromFile /etc/shadow\" \"id:1,deny\"\n", "shadow");
    refuses("climbs", "Include ../../../../../../etc/passwd\n", "passwd");
    refuses("exec", "SecAction \"id:1,phase:1,pass,exec:/bin/sh\"\n", "exec");
    refuses("remote", "SecRemoteRules key https://localhost/rules\n", "SecRemoteRules");
    refuses("zeros", "SecAction \"id:1,phase:1,pass\"\0\n\0\0\n", "a.conf:1");
    site.refuses(
        "bytes",
        &[("a.conf", b"SecAction \"id:1,phase:1,pass,msg:'\xff\xfe'\"\n\xc3\x28")],
        "a.conf",
    );
    // Each file is read three hundred times by the one before it.
    let mut files = vec![("a.conf".to_owned(), "Include 1.conf\n".to_owned())];
    files.extend((1..=6).map(|n| (format!("{n}.conf"), format!("Include {}.conf\n", n + 1).repeat(300))));
    files.push(("7.conf".to_owned(), "# the end\n".to_owned()));
    let files: Vec<(&str, &[u8])> =
        files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    site.refuses("fan", &files, "all together");
}

#[test]
fn what_is_too_long_is_refused() {
    let site = Site::start();
    site.refuses("over", &[("a.conf", "# a comment\n".repeat(1 << 19).as_bytes())], "more than");
    let folder = site.node.home.path().join("line");
    fs::create_dir_all(&folder).unwrap();
    let mut line = fs::File::create(folder.join("a.conf")).unwrap();
    let piece = vec![b'a'; 1 << 20];
    (0..100).for_each(|_| line.write_all(&piece).unwrap());
    site.refuses("line", &[], "more than");
    // Past the command, which looks before it sends.
    let files =
        serde_json::json!({ "name": "line", "read": ["a.conf"], "files": { "a.conf": "a".repeat(7 << 20) } });
    let sent =
        site.node.api("POST", "/v1/node/rules", Some(&site.node.admin()), files.to_string().as_bytes());
    assert!((400..500).contains(&sent.status), "{}", sent.text());
    let long = format!("SecRule ARGS \"@rx a\" \"id:1,msg:'{}'\"\nnonsense\n", "m".repeat(3_000_000));
    site.refuses("message", &[("a.conf", long.as_bytes())], "nonsense");
}

/// Nothing goes back here, so what makes other engines go back for ever is a pattern like all others.
#[test]
fn nested_repetitions_are_taken_and_cost_little() {
    let site = Site::start();
    let text = ["(a+)+$", "^(a|a)*b$", "(?:a*)*c", "^(?:(?:a+)+)+d$", "(.*a){12}e"];
    let text = many(text.len(), |n| rule(n, &format!("{}evil", text[n - 1])));
    site.add("nested", &[("a.conf", text.as_bytes())]).ok();
    assert_eq!(site.node.call("GET", ATTACK, None, b"").status, 200, "they are in force");
    friend::asks_on(&site.node, "/echo/friend", "nested repetitions", || {
        for text in ["a".repeat(120 << 10), "ab".repeat(60 << 10), format!("{}!", "a".repeat(120 << 10))] {
            let (answer, taken) = site.form(&text);
            assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
            assert!(taken < Duration::from_secs(1), "{taken:?}");
        }
    });
}

/// It has states by the thousand, and is slow on text that keeps them all busy.
const BUSY: &str = "[ab]*a[ab]{2400}c";

/// What only the second link of a chain asks is searched by itself; one that is far too slow then is refused.
#[test]
fn what_takes_far_too_long_is_refused() {
    let site = Site::start();
    let text = format!(
        "SecRule ARGS \"@rx [ab]\" \"id:1,phase:2,deny,chain\"\nSecRule ARGS \"@rx {BUSY}\" \"t:none\"\n"
    );
    site.refuses("busy", &[("a.conf", text.as_bytes())], "ms to look at a long text");
}

/// What is dear, but not that dear, is cut off at its budget, request by request; small requests do not notice.
#[test]
fn what_uses_up_its_budget_is_cut_off() {
    let site = Site::start();
    let distinct = |n: usize| format!("[a-z]{{3}}[^a-z]{{2}}[A-Z]{{{}}}[0-9]{{{}}}", n % 40 + 1, n / 40 + 1);
    let text = many(1_000, |n| rule(n, &distinct(n)));
    site.add("dear", &[("a.conf", text.as_bytes())]).ok();
    assert_eq!(site.node.call("GET", "/echo?id=1", None, b"").status, 200);
    friend::asks_on(&site.node, "/echo/friend", "dear rules", || {
        let (answer, taken) = site.form(&"abc--".repeat(24 << 10));
        assert_eq!(answer.status, 503, "{:.200}", answer.text());
        assert_eq!(answer.json()["code"], "inspection-exhausted");
        assert!(taken < Duration::from_secs(1), "{taken:?}");
    });
    site.node.run(&["shield", "rules", "rollback"]).ok();
    assert_eq!(site.node.call("GET", ATTACK, None, b"").status, 403);
    site.add("busy", &[("a.conf", rule(1, BUSY).as_bytes())]).ok();
    let text: String = (0_u32..120 << 10)
        .map(|n| if n.wrapping_mul(0x9e37_79b1).wrapping_add(n >> 3) >> 31 == 0 { 'a' } else { 'b' })
        .collect();
    friend::asks_on(&site.node, "/echo/friend", "a busy pattern", || {
        let (answer, taken) = site.form(&text);
        assert_eq!(answer.status, 503, "{:.200}", answer.text());
        assert!(taken < Duration::from_secs(1), "{taken:?}");
    });
}
