use std::collections::HashMap;

use super::*;
use crate::{Identity, testing};

/// The key that does not hold, or nothing.
#[track_caller]
fn check(toml: &str, expect: &str) {
    let said = match toml::from_str::<IdentityConfig>(toml) {
        Err(e) => e.message().to_owned(),
        Ok(config) => match Identity::new(config, &|path| Err(format!("no {path}"))) {
            Ok(_) => String::new(),
            Err(e) => e.key,
        },
    };
    assert_eq!(said, expect, "{toml}");
}

#[test]
fn nothing_is_accepted_where_nothing_is_named() {
    check("", "");
    check("[tokens]\naccept = true", "");
}

/// The examples of `docs/identity.md`, each of which is to be taken as it stands there.
#[test]
fn the_documentation_holds() {
    let page = include_str!("../../../../docs/identity.md");
    let examples: Vec<&str> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= 6, "{}", examples.len());
    let ed = testing::ED.jwk().to_string();
    let files: HashMap<&str, Vec<u8>> = HashMap::from([
        ("/etc/casemate/corp.jwks.json", testing::jwks().into_bytes()),
        ("/etc/casemate/mesh-ca.pem", b"read by TLS".to_vec()),
        ("/etc/casemate/mesh.crl.pem", b"read by TLS".to_vec()),
        ("/etc/casemate/edge-ca.pem", b"read by TLS".to_vec()),
        ("/etc/casemate/nonce.secret", data_encoding::BASE64.encode(&[1; 32]).into_bytes()),
        ("/etc/casemate/partner.jwk.json", ed.into_bytes()),
        ("/run/credentials/casemate/orders", b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n".to_vec()),
        ("/run/credentials/casemate/orders.next", b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx\n".to_vec()),
        ("/run/credentials/casemate/github", b"a-secret-of-twenty-some-characters\n".to_vec()),
    ]);
    let read = |path: &str| files.get(path).cloned().ok_or_else(|| format!("no {path}"));
    for example in examples.iter().copied().chain([examples.concat().as_str()]) {
        let config = IdentityConfig::parse(example).unwrap_or_else(|e| panic!("{e}\n{example}"));
        let config = config.in_tenant(&"default".parse().unwrap());
        Identity::new(config, &read).map(|_| ()).unwrap_or_else(|e| panic!("{e}\n{example}"));
    }
    for reason in crate::Reason::ALL {
        let row = format!("| `{}` | {} |", reason.code(), reason.sentence());
        assert!(page.contains(&row), "the page lacks this row:\n{row}");
    }
}

#[test]
fn what_does_not_hold_is_named() {
    let issuer = testing::issuer_toml("");
    let changed = |from: &str, to: &str| {
        assert!(issuer.contains(from), "{from}");
        issuer.replacen(from, to, 1)
    };
    check(&issuer, "");
    check(&format!("{issuer}{issuer}"), "issuers[1].name");
    check(&format!("{issuer}{}", changed("\"corp\"", "\"corp2\"")), "issuers[1].issuer");
    for (from, to, key) in [
        ("\"corp\"", "\"Corp\"", "issuers[0].name"),
        ("\"corp\"", "\"webhook\"", "issuers[0].name"),
        ("[\"https://api.example\"]", "[]", "issuers[0].audiences"),
        ("[\"https://api.example\"]", "[\"\"]", "issuers[0].audiences[0]"),
        ("\"ES384\", ", "\"ES256\", ", "issuers[0].algorithms[1]"),
        ("\"User\"", "\"Anonymous\"", "issuers[0].kind"),
        ("\"User\"", "\"User\"\nskew_s = 121", "issuers[0].skew_s"),
        ("\"User\"", "\"User\"\nscopes = [\"*\"]", "issuers[0].scopes[0]"),
        ("\"User\"", "\"User\"\ntypes = []", "issuers[0].types"),
        ("\"User\"", "\"User\"\njwks_file = \"x\"", "issuers[0].jwks"),
        (
            "jwks = '''{\"keys\":[",
            "jwks = '''{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"},",
            "issuers[0].jwks",
        ),
        ("realm_access.roles", "realm_access..roles", "issuers[0].claims.groups"),
    ] {
        check(&changed(from, to), key);
    }
    check(
        "[[issuers]]\nname = \"a\"\nextra = 1",
        "unknown field `extra`, expected one of `name`, `issuer`, `audiences`, \
        `algorithms`, `jwks`, `jwks_file`, `types`, `skew_s`, `lifetime_s_max`, `require_bound`, `tenant`, `kind`, `scopes`, \
        `claims`",
    );
    check("[dpop]\nalgorithms = []", "dpop.algorithms");
    check("[dpop]\nage_s_max = 301", "dpop.age_s_max");
    check("[dpop]\nnonce_secret = \"c2hvcnQ=\"", "dpop.nonce_secret");
    check("[dpop]\nnonce_secret_file = \"x\"", "dpop.nonce_secret_file");
    check("replays_per_tenant = 0", "replays_per_tenant");
}

#[test]
fn senders_signers_and_certificates() {
    let hook = |more: &str| format!("[[webhooks]]\nname = \"w\"\ntenant = \"default\"\n{more}");
    let whole =
        "scheme = \"standard\"\npaths = [\"/w\"]\nsecrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]\n";
    check(&hook(whole), "");
    check(&hook(&whole.replace("/w", "w")), "webhooks[0].paths");
    check(&hook(&whole.replace("whsec_MfKQ", "whsec_M!KQ")), "webhooks[0].secrets[0]");
    check(&hook(&whole.replace("whsec_", "whsec_AA==")), "webhooks[0].secrets[0]");
    check(&hook(&whole.replace("whsec_", "whpk_")), "webhooks[0].secrets[0]");
    check(
        &hook(
            &whole.replace("standard", "github").replace("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "short"),
        ),
        "webhooks[0].secrets[0]",
    );
    check(&hook("scheme = \"slack\"\npaths = [\"/w\"]"), "webhooks[0].secrets");
    check(
        &hook("scheme = \"slack\"\npaths = [\"/w\"]\nsecret_files = [\"x\"]"),
        "webhooks[0].secret_files[0]",
    );
    check(&hook(&format!("{whole}window_s = 901")), "webhooks[0].window_s");
    check(&hook(&format!("{whole}hosts = [\"a/b\"]")), "webhooks[0].hosts");
    let sign =
        |more: &str| format!("[[signatures]]\nname = \"s\"\nkeyid = \"k\"\ntenant = \"default\"\n{more}");
    let (ed, ec) = (testing::ED.jwk(), testing::P256.jwk());
    check(&sign(&format!("algorithm = \"ed25519\"\nkey = '{ed}'")), "");
    check(&sign(&format!("algorithm = \"ed25519\"\nkey = '{ec}'")), "signatures[0].key");
    check(&sign(&format!("algorithm = \"hmac-sha256\"\nkey = '{ed}'")), "signatures[0].key");
    check(&sign("algorithm = \"hmac-sha256\"\nsecret = \"c2hvcnQ=\""), "signatures[0].secret");
    check(&sign("algorithm = \"ed25519\"\nsecret = \"c2hvcnQ=\""), "signatures[0].secret");
    check(
        &sign(&format!("algorithm = \"ed25519\"\nkey = '{ed}'\nrequired = [\"@status\"]")),
        "signatures[0].required",
    );
    let mesh = |more: &str| format!("[[certificates]]\nname = \"c\"\ntenant = \"default\"\n{more}");
    check(&mesh("spiffe_trust_domain = \"a.example\""), "");
    check(&mesh(""), "certificates[0]");
    check(&mesh("dns = [\"a\"]\nsubjects = [\"b\"]"), "certificates[0]");
    check(&mesh("dns = [\"*.a\"]"), "certificates[0].dns");
    check(&mesh("spiffe_trust_domain = \"A\""), "certificates[0].spiffe_trust_domain");
    check(&mesh("spiffe_trust_domain = \"a\"\nspiffe_path = \"/x/\""), "certificates[0].spiffe_path");
}
