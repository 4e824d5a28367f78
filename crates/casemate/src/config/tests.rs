use super::*;

fn around() -> Surroundings {
    Surroundings { base: "/etc/casemate".into(), data: "/home/ada/.local/share/casemate".into(), cores: 4 }
}

fn parse(text: &str) -> Result<Config, ManifestError> {
    Config::parse(text, &Overrides::default(), &around())
}

fn refused(text: &str, part: &str) {
    let said = parse(text).expect_err(text).to_string();
    assert!(said.contains(part), "`{text}` said `{said}`, not `{part}`");
}

#[test]
fn nothing_typed_is_a_safe_node() {
    let config = parse("").unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8443");
    assert_eq!(config.control.to_string(), "127.0.0.1:8444");
    assert_eq!(config.data, around().data);
    assert_eq!(config.root_key, RootKeySource::File(around().data.join("root.key")));
    assert_eq!(config.workers, 4);
    assert_eq!(config.ceiling, Limits::CEILING);
    assert_eq!(config.tls_names, ["localhost", "127.0.0.1", "::1"]);
    assert_eq!(config.dangerous.warnings(), [] as [&str; 0]);
    assert!(config.egress_allow.is_empty() && config.shown == Shown::Own);
}

#[test]
fn everything_typed() {
    let config = parse(
        r#"
        data = "state"
        listen = "0.0.0.0:443"
        control = "[::1]:8444"
        domain = "fn.example.com"
        workers = 2
        [tls]
        names = ["10.0.0.7", "node.example.com"]
        certificate = "chain.pem"
        key = "/run/secrets/key.pem"
        [root_key]
        passphrase_env = "CASEMATE_PASSPHRASE"
        [limits]
        memory_bytes = 268435456
        [egress]
        allow = ["10.1.0.0/16", "fd00::1"]
        [firewall]
        allow = ["0.0.0.0/0"]
        deny = ["192.0.2.0/24"]
        [log]
        format = "json"
        level = "debug"
        [dangerous]
        missing_walls = ["user-namespace", "landlock"]
        plain_http = "127.0.0.1:8080"
        tls12 = true
        "#,
    )
    .unwrap();
    assert_eq!(config.data, Path::new("/etc/casemate/state"));
    let files =
        Shown::Files { certificate: "/etc/casemate/chain.pem".into(), key: "/run/secrets/key.pem".into() };
    assert_eq!(config.shown, files);
    assert_eq!(config.ceiling.memory_bytes, 256 << 20);
    assert_eq!(config.ceiling.cpu_ms, Limits::CEILING.cpu_ms);
    assert_eq!(
        config.egress_allow.iter().map(Cidr::to_string).collect::<Vec<_>>(),
        ["10.1.0.0/16", "fd00::1/128"]
    );
    assert_eq!(config.dangerous.warnings().len(), 4, "one warning for each weakness");
    assert!(config.tls_names.contains(&"fn.example.com".to_owned()));
    assert_eq!(config.root_key, RootKeySource::PassphraseEnv("CASEMATE_PASSPHRASE".into()));
}

#[test]
fn the_command_line_wins() {
    let over = Overrides {
        data: Some("/tmp/x".into()),
        listen: Some(([127, 0, 0, 1], 0).into()),
        control: Some(([127, 0, 0, 1], 0).into()),
        accept_clock: false,
    };
    let config = Config::parse("data = \"y\"\nlisten = \"1.2.3.4:5\"", &over, &around()).unwrap();
    assert_eq!(config.data, Path::new("/tmp/x"));
    assert_eq!((config.listen.port(), config.control.port()), (0, 0));
    assert_eq!(config.root_key, RootKeySource::File("/tmp/x/root.key".into()));
}

#[test]
fn what_is_refused() {
    refused("data = 1", "line 1");
    refused("listen = \"x\"\nlisten = \"y\"", "line 2");
    refused("dta = \"x\"", "line 1, column 1: unknown field `dta`");
    refused("dta = \"x\"", "did you mean `data`?");
    refused("[log]\nlevle = \"info\"", "line 2, column 1: unknown field `levle`");
    refused("[log]\nlevle = \"info\"", "did you mean `level`?");
    refused("[log]\n  level = \"loud\"", "line 2, column 3: `log.level`: `loud` is no level");
    refused("log = { level = \"loud\" }", "line 1, column 1");
    refused("log.level = \"loud\"", "line 1, column 1");
    refused("[log]\nformat = \"xml\"", "unknown variant `xml`");
    refused("listen = \"8443\"", "line 1, column 1: `listen`: `8443` is no address with a port");
    refused("listen = \"localhost:8443\"", "write `127.0.0.1:8443`");
    refused("listen = \"127.0.0.1:9\"\ncontrol = \"127.0.0.1:9\"", "line 2, column 1: `control`");
    refused("domain = \"Example.com\"", "no host name");
    refused("domain = \"a..b\"", "no host name");
    refused("domain = \"-a\"", "no host name");
    refused("domain = \"function.internal\"", "functions call each other");
    refused("domain = \"a.function.internal\"", "functions call each other");
    refused("trust_domain = \"Node.example\"", "no trust domain");
    refused("trust_domain = \"spiffe://a\"", "no trust domain");
    refused("workers = 0", "must be from 1 to 1024");
    refused("workers = 5000", "must be from 1 to 1024");
    refused("workers = -1", "line 1");
    refused("[tls]\nnames = [\"a b\"]", "neither a host name nor an address");
    refused("[tls]\ncertificate = \"x\"", "wants `tls.key`");
    refused("[tls]\nkey = \"x\"", "wants `tls.certificate`");
    refused("[root_key]\nfile = \"a\"\npassphrase_env = \"B\"", "exclude each other");
    refused("[root_key]\npassphrase_env = \"\"", "no environment variable");
    refused("[root_key]\npassphrase = \"secret\"", "unknown field `passphrase`");
    refused("[limits]\ncpu_msec = 5", "line 2, column 1: `limits.cpu_msec`: is no limit");
    refused("[limits]\ncpu_msec = 5", "did you mean `cpu_ms`?");
    refused("[limits]\ncpu_ms = 0", "must be from 1 to 60000");
    refused("[limits]\nmemory_bytes = 99999999999999", "must be from 65536");
    for range in ["10.0.0.0/33", "10.0.0.1/8", "x", "::/129", "10.0.0.0/", "10.0.0.0/-1", "fd00::1/8"] {
        refused(&format!("[egress]\nallow = [\"{range}\"]"), "line 2, column 1: `egress.allow`");
        refused(&format!("[firewall]\ndeny = [\"{range}\"]"), "is no range of addresses");
    }
    refused("[dangerous]\nmissing_walls = [\"moat\"]", "there are parent-death, user-namespace");
    refused("[dangerous]\nplain_http = \"80\"", "no address with a port");
    refused("[dangerous]\nplain_http = \"127.0.0.1:8443\"", "another listener");
    refused("[dangerous]\nplain_http = \"0.0.0.0:8080\"", "must be a loopback address");
    refused("[dangerous]\ntls11 = true", "did you mean `tls12`?");
}

const ACME: &str = "[tls.acme]\ndirectory = \"https://ca.example/dir\"\naccept_terms = true\n";

#[test]
fn certificates_of_an_authority() {
    let acme = |rest: &str| match parse(&format!("{ACME}{rest}")).unwrap().shown {
        Shown::Acme(acme) => acme,
        other => panic!("{other:?}"),
    };
    let least = acme("names = [\"b.example.com\", \"a.example.com\", \"b.example.com\"]");
    assert_eq!(least.names, ["a.example.com", "b.example.com"]);
    assert_eq!((least.challenge, least.http, least.directory_ca), (AcmeChallenge::TlsAlpn01, None, None));
    let most = acme(
        "names = [\"a.example.com\"]\nchallenge = \"http-01\"\nhttp = \"0.0.0.0:80\"\n\
         directory_ca = \"ca.pem\"\ncontact = [\"mailto:ops@example.com\"]",
    );
    assert_eq!(most.http, Some(([0, 0, 0, 0], 80).into()));
    assert_eq!(most.directory_ca.as_deref(), Some(Path::new("/etc/casemate/ca.pem")));
    assert_eq!(most.contact, ["mailto:ops@example.com"]);
}

#[test]
fn what_no_authority_is_asked_for() {
    let name = "names = [\"a.example.com\"]\n";
    let acme = |rest: &str, part: &str| refused(&format!("{ACME}{rest}"), part);
    acme("", "has 0 names");
    acme("names = []", "has 0 names");
    for wrong in ["*.example.com", "127.0.0.1", "::1", "Example.com", "a b", "", "a..b", "ä.example.com"] {
        acme(&format!("names = [\"{wrong}\"]"), "line 4, column 1: `tls.acme.names`");
    }
    let many: Vec<String> = (0..101).map(|n| format!("\"n{n}.example.com\"")).collect();
    acme(&format!("names = [{}]", many.join(",")), "has 101 names");
    for wrong in
        ["ops@example.com", "mailto:", "mailto:ops", "mailto:@", "mailto:a@b?subject=x", "mailto:a@b,c@d"]
    {
        acme(&format!("{name}contact = [\"{wrong}\"]"), "is no `mailto:` address");
    }
    acme(&format!("{name}challenge = \"dns-01\""), "unknown variant `dns-01`");
    acme(&format!("{name}challenge = \"http-01\""), "wants `http`");
    acme(&format!("{name}http = \"127.0.0.1:80\""), "wants `challenge = \"http-01\"`");
    acme(&format!("{name}challenge = \"http-01\"\nhttp = \"80\""), "no address with a port");
    acme(&format!("{name}challenge = \"http-01\"\nhttp = \"127.0.0.1:8443\""), "another listener");
    acme(&format!("{name}acept = true"), "unknown field `acept`");
    refused("[tls.acme]\nnames = [\"a.example.com\"]\naccept_terms = true", "is no `https://` place");
    for wrong in ["http://ca.example/dir", "ca.example", "https://", "/dir"] {
        let text = format!("[tls.acme]\ndirectory = \"{wrong}\"\n{name}accept_terms = true");
        refused(&text, "is no `https://` place");
    }
    let unread = format!("[tls.acme]\ndirectory = \"https://ca.example/dir\"\n{name}");
    refused(&unread, "`tls.acme.accept_terms`: the authority's terms of service must be agreed to");
    refused(&format!("[tls]\ncertificate = \"a\"\nkey = \"b\"\n{ACME}{name}"), "excludes `tls.acme`");
}

#[test]
fn the_schema_explains_every_key() {
    fn look(schema: &serde_json::Value, path: &str) {
        let properties = schema.get("properties").and_then(|p| p.as_object());
        for (name, value) in properties.into_iter().flatten() {
            let said = value.get("description").or_else(|| value.get("$ref"));
            assert!(said.is_some(), "{path}.{name} has no description");
        }
    }
    let schema = Config::json_schema();
    look(&schema, "config");
    for (name, part) in schema["$defs"].as_object().unwrap() {
        look(part, name);
    }
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn who_may_connect_and_who_stands_in_front() {
    let network = parse(
        r#"
        [firewall]
        allow = ["10.0.0.0/8", "set:offices"]
        deny = ["set:bots until=2100-01-01"]
        [firewall.control]
        allow = ["10.1.0.0/16"]
        [firewall.sets.offices]
        ranges = ["198.51.100.0/24", "192.0.2.1 until=2100-01-01T00:00:00Z"]
        [firewall.sets.bots]
        file = "bots.txt"
        [proxy]
        trusted = ["10.0.0.2"]
        forwarded = ["10.0.0.4"]
        header = "forwarded"
        "#,
    )
    .unwrap()
    .network;
    assert_eq!((network.allow.len(), network.deny.len(), network.control_allow.len()), (2, 1, 1));
    assert_eq!(network.sets["bots"], SetSource::File("/etc/casemate/bots.txt".into()));
    assert!(matches!(&network.sets["offices"], SetSource::Ranges(ranges) if ranges.len() == 2));
    assert_eq!(network.header, ::shield::ForwardHeader::Forwarded);
    assert!(!network.trusted_control);
}

#[test]
fn what_is_no_list() {
    refused("[firewall]\nallow = [\"10.0.0.1/8\"]", "`firewall.allow`: `10.0.0.1/8`");
    refused("[firewall]\ndeny = [\"set:bots\"]", "`set:bots` is no set");
    refused("[firewall.control]\ndeny = [\"set:bots\"]", "`firewall.control.deny`");
    refused("[firewall]\ndeny = [\"10.0.0.0/8 until=soon\"]", "is no end");
    refused("[firewall.sets.Bots]\nranges = []", "`Bots` is no name of a set");
    refused("[firewall.sets.a]", "either `file` or `ranges`");
    refused("[firewall.sets.a]\nfile = \"x\"\nranges = []", "either `file` or `ranges`");
    refused("[firewall.sets.a]\nranges = [\"set:b\"]", "stands within a set");
    refused("[firewall.sets.a]\nranges = [\"b\"]", "`firewall.sets.a.ranges`");
    refused("[proxy]\ntrusted = [\"set:a\"]", "`proxy.trusted`");
    refused("[proxy]\nforwarded = [\"10.0.0.1/8\"]", "`proxy.forwarded`");
    refused("[proxy]\nheader = \"x-real-ip\"", "x-real-ip");
}

#[test]
fn sinks_are_what_they_say() {
    let config = parse(
        r#"
        [[events.sink]]
        kind = "file"
        path = "events.ndjson"
        [[events.sink]]
        kind = "syslog"
        name = "logs-1"
        address = "logs.example.com"
        what = ["all"]
        tenants = ["acme"]
        behind_max = 1000
        [[events.sink]]
        kind = "http"
        url = "https://siem.example.com/in?x=1"
        format = "json"
        what = ["refusals", "signals", "refusals"]
        "#,
    )
    .unwrap();
    let [file, syslog, http] = <[SinkConfig; 3]>::try_from(config.sinks).unwrap();
    let path = "/etc/casemate/events.ndjson".into();
    assert_eq!(file.to, SinkPlace::File { path, bytes_max: 64 << 20, keep: 4 });
    assert_eq!((file.name.as_str(), file.what.len(), file.behind_max), ("file", 4, 10_000_000));
    assert_eq!((syslog.name.as_str(), syslog.what.len(), syslog.behind_max), ("logs-1", 6, 1000));
    let SinkPlace::Syslog { host, port, ca: None, identity: None } = syslog.to else { panic!("{syslog:?}") };
    assert_eq!((host.as_str(), port), ("logs.example.com", 6514));
    assert_eq!(http.what.len(), 2);
    assert!(matches!(http.to, SinkPlace::Http { format: RawFormat::Json, token_file: None, .. }));
}

#[test]
fn a_sink_that_is_none_is_refused() {
    let file = "[[events.sink]]\nkind = \"file\"\npath = \"x\"\n";
    let syslog = "[[events.sink]]\nkind = \"syslog\"\n";
    let http = "[[events.sink]]\nkind = \"http\"\n";
    for (text, says) in [
        ("[[events.sink]]\npath = \"x\"\n".to_owned(), "kind"),
        ("[[events.sink]]\nkind = \"kafka\"\n".to_owned(), "kafka"),
        ("[[events.sink]]\nkind = \"file\"\n".to_owned(), "`events.sink.path`"),
        (format!("{file}{file}"), "another sink"),
        (format!("{file}name = \"Big One\"\n"), "Big One"),
        (format!("{file}url = \"https://x.example\"\n"), "this is `file`"),
        (format!("{file}ca = \"x.pem\"\n"), "this is `file`"),
        (format!("{file}what = [\"everything\"]\n"), "everything"),
        (format!("{file}what = []\n"), "names nothing"),
        (format!("{file}tenants = [\"Not A Tenant\"]\n"), "events.sink.tenants"),
        (format!("{file}behind_max = 0\n"), "from 1 to"),
        (format!("{file}bytes_max = 1\n"), "from 4096 to"),
        (format!("{file}keep = 1001\n"), "from 0 to 1000"),
        (format!("{file}keeps = 1\n"), "keeps"),
        (syslog.to_owned(), "`events.sink.address`"),
        (format!("{syslog}address = \"a b\"\n"), "no host"),
        (format!("{syslog}address = \"x.example:0\"\n"), "no host"),
        (format!("{syslog}address = \"x.example:+5\"\n"), "no host"),
        (format!("{syslog}address = \"[::1\"\n"), "no host"),
        (format!("{syslog}address = \"x.example\"\nkey = \"k.pem\"\n"), "want each other"),
        (http.to_owned(), "`events.sink.url`"),
        (format!("{http}url = \"http://x.example/\"\n"), "no absolute `https` URL"),
        (format!("{http}url = \"/in\"\n"), "no absolute `https` URL"),
        (format!("{http}url = \"https://me:secret@x.example/\"\n"), "no absolute `https` URL"),
        (format!("{http}url = \"https://x.example/\"\nformat = \"xml\"\n"), "xml"),
    ] {
        refused(&text, says);
    }
    let many: String = (0..9).map(|n| format!("{file}name = \"n{n}\"\n")).collect();
    refused(&many, "8 at most");
    for address in ["[::1]", "[::1]:1514", "127.0.0.1:6514", "localhost"] {
        parse(&format!("{syslog}address = \"{address}\"\n")).unwrap();
    }
}
