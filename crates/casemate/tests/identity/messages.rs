//! Webhooks and signed messages: proved over their whole body, which is handed on unchanged.

use aws_lc_rs::hmac;
use data_encoding::{BASE64, HEXLOWER};

use crate::{
    caller::{accept, ask, now_s, refused},
    support::{TestNode, guest},
};

const SECRET: &[u8] = b"a secret that two sides know, and nobody else";

fn mac(message: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), message)
}

#[test]
fn a_webhook_is_proved_over_its_whole_body() {
    let node = TestNode::start();
    let manifest = "[access]\naccept = [\"webhook:orders\"]\npolicy = '''\n\
        permit (principal == Service::\"default/webhook:orders\", action == Action::\"invoke\", resource);\n'''\n\
        [limits]\nrequest_body_bytes = 500000\n[shield]\nbody_bytes = 500000\n";
    node.deploy("orders", &guest("echo"), manifest);
    node.deploy(
        "other",
        &guest("echo"),
        "[access]\naccept = [\"token\", \"webhook:none\"]\nallow = \"tenant\"\n",
    );
    let secret = format!("whsec_{}", BASE64.encode(SECRET));
    let file = node.home.path().join("orders.secret");
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    accept(
        &node,
        "default",
        "[[webhooks]]\nname = \"orders\"\nscheme = \"standard\"\n\
        paths = [\"/orders\", \"/other\"]\nsecret_files = [\"orders.secret\"]\n",
    );
    let shown = node.run(&["identity", "show"]).ok().out;
    assert!(shown.contains("orders") && !shown.contains(&secret), "{shown}");

    let sent = |path: &str, id: &str, at: u64, signed: &[u8], body: &[u8]| {
        let signature = mac(&[format!("{id}.{at}.").as_bytes(), signed].concat());
        let signature = format!("v1,{}", BASE64.encode(signature.as_ref()));
        let at = at.to_string();
        let headers = [("webhook-id", id), ("webhook-timestamp", &at), ("webhook-signature", &signature)];
        ask(&node, "POST", path, &headers, body)
    };
    let (small, large) = (b"{\"order\":1}".as_slice(), vec![b'x'; 400_000]);
    for (id, body) in [("small", small), ("large", large.as_slice())] {
        let answer = sent("/orders", id, now_s(), body, body);
        assert_eq!(answer.status, 200, "{id}: {}", answer.text());
        assert_eq!(answer.body, body, "{id} is handed on unchanged");
        refused(&node, &sent("/orders", id, now_s(), body, body), "webhook-replay");
    }
    refused(&node, &sent("/orders", "altered", now_s(), small, b"{\"order\":2}"), "webhook-signature");
    refused(&node, &sent("/orders", "stale", now_s() - 4_000, small, small), "webhook-stale");
    refused(&node, &sent("/orders", "early", now_s() + 4_000, small, small), "webhook-early");
    refused(&node, &sent("/other", "elsewhere", now_s(), small, small), "credential-not-taken-here");
    refused(&node, &ask(&node, "POST", "/orders", &[], small), "forbidden");
    let own = node.token(&["--name", "caller", "--scope", "invoke"]);
    let bearer = format!("Bearer {own}");
    let token = ask(&node, "POST", "/orders", &[("authorization", &bearer)], small);
    refused(&node, &token, "credential-not-taken-here");
    let by_control = node.run(&["invoke", "orders"]);
    by_control.fails(5, "the function accepts: webhook:orders");
    let too_large = vec![b'x'; 600_000];
    assert_eq!(sent("/orders", "larger", now_s(), &too_large, &too_large).status, 413);

    // Whoever guesses for one sender is told of, wherever it sits, and the sender goes on.
    for n in 0..70 {
        assert_ne!(sent("/orders", &format!("guess-{n}"), now_s(), b"guess", small).status, 200);
    }
    let found = node.run(&["shield", "status", "--output", "json"]).ok().json();
    let told =
        found["signals"].as_array().unwrap().iter().filter(|signal| signal["code"] == "claim-stuffing");
    let told: Vec<_> = told.map(|signal| signal["principal"].as_str().unwrap()).collect();
    assert_eq!(told, ["webhook:orders"], "{found}");
    assert_eq!(sent("/orders", "after", now_s(), small, small).status, 200);

    let again = TestNode::start_with(node.stop(), "");
    let github = format!("sha256={}", HEXLOWER.encode(mac(small).as_ref()));
    let swapped = ask(&again, "POST", "/orders", &[("x-hub-signature-256", &github)], small);
    refused(&again, &swapped, "webhook-unknown");
}

#[test]
fn a_signed_message_covers_what_it_must() {
    let node = TestNode::start();
    let manifest = "[access]\naccept = [\"signature:partner\"]\npolicy = '''\n\
        permit (principal == Service::\"default/signature:partner\", action == Action::\"invoke\", resource)\n\
        when { context.token.kind == \"message-signature\" };\n'''\n[shield]\nbody_bytes = 1000000\n";
    node.deploy("in", &guest("echo"), manifest);
    let entry = format!(
        "[[signatures]]\nname = \"partner\"\nkeyid = \"k\"\nalgorithm = \"hmac-sha256\"\nsecret = \"{}\"\n",
        BASE64.encode(SECRET)
    );
    accept(&node, "default", &entry);
    let authority = node.functions().trim_start_matches("https://").to_owned();
    let sent = |covered: &[&str], body: &[u8], digested: &[u8]| {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, digested);
        let digest = format!("sha-256=:{}:", BASE64.encode(hash.as_ref()));
        let names: Vec<String> = covered.iter().map(|name| format!("\"{name}\"")).collect();
        let input = format!("({});created={};keyid=\"k\"", names.join(" "), now_s());
        let value = |name: &str| match name {
            "@method" => "POST".to_owned(),
            "@authority" => authority.clone(),
            "@path" => "/in".to_owned(),
            _ => digest.clone(),
        };
        let lines: Vec<String> =
            covered.iter().map(|name| format!("\"{name}\": {}\n", value(name))).collect();
        let base = format!("{}\"@signature-params\": {input}", lines.concat());
        let signature = format!("s=:{}:", BASE64.encode(mac(base.as_bytes()).as_ref()));
        let input = format!("s={input}");
        let headers =
            [("content-digest", digest.as_str()), ("signature-input", &input), ("signature", &signature)];
        ask(&node, "POST", "/in", &headers, body)
    };
    let all = ["@method", "@authority", "@path", "content-digest"];
    let large = vec![b'y'; 300_000];
    let answer = sent(&all, &large, &large);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.body, large);
    refused(&node, &sent(&all, b"altered", b"signed"), "signature-digest");
    refused(&node, &sent(&["@method", "@path"], b"body", b"body"), "signature-components");
}

/// A route takes less than its function: a webhook's path takes no token, the others no webhook.
#[test]
fn a_route_says_what_it_takes() {
    let node = TestNode::start();
    let routes = |hook: &str| {
        format!(
            "[[route]]\npath = \"/orders/...\"\naccept = [\"token\"]\n[[route]]\npath = \"/orders/hook\"\n{hook}[access]\n\
             accept = [\"token\", \"webhook:shop\"]\npolicy = '''\n\
             permit (principal is User, action == Action::\"invoke\", resource);\n\
             permit (principal == Service::\"default/webhook:shop\", action == Action::\"invoke\", resource);\n'''\n"
        )
    };
    let narrow = "accept = [\"webhook:shop\"]\n";
    node.deploy("orders", &guest("echo"), &routes(narrow));
    let secret = "a-secret-of-twenty-some-characters";
    accept(
        &node,
        "default",
        &format!(
            "[[webhooks]]\nname = \"shop\"\nscheme = \"github\"\npaths = [\"/orders/hook\", \"/orders/x\"]\nsecrets = [\"{secret}\"]\n"
        ),
    );
    let body = b"{}".as_slice();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signed = format!("sha256={}", HEXLOWER.encode(hmac::sign(&key, body).as_ref()));
    let hook = [("x-hub-signature-256", &*signed)];
    let bearer = format!("Bearer {}", node.token(&["--name", "caller", "--scope", "invoke"]));
    let token = [("authorization", &*bearer)];
    assert_eq!(ask(&node, "POST", "/orders/hook", &hook, body).status, 200);
    assert_eq!(ask(&node, "POST", "/orders/x", &token, body).status, 200);
    refused(&node, &ask(&node, "POST", "/orders/hook", &token, body), "credential-not-taken-here");
    refused(&node, &ask(&node, "POST", "/orders/x", &hook, body), "forbidden");

    // To let it take more is a widening; the same again is not.
    let folder = node.home.function("orders", &guest("echo"), &routes(narrow));
    node.run(&["deploy", folder.to_str().unwrap(), "--no-build"]).ok();
    let folder = node.home.function("orders", &guest("echo"), &routes(""));
    let args = ["deploy", folder.to_str().unwrap(), "--no-build"];
    let stopped = node.run(&args).fails(1, "widens-access");
    assert!(stopped.err.contains("/orders/hook") && stopped.err.contains("`token`"), "{stopped:?}");
    node.run(&[&args[..], &["--accept-widening"]].concat()).ok();
    assert_eq!(ask(&node, "POST", "/orders/hook", &token, body).status, 200);
}
