//! Whatever is presented, there is an answer.

use proptest::prelude::*;
use serde_json::json;

use crate::{
    RawRequest,
    certificate::{Names, spiffe::SpiffeId},
    jose::{
        jwk::KeySet,
        jws::{Carrier, Jws},
    },
    signature::fields,
    testing::*,
    uri,
};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn any_text(text in ".{0,300}") {
        let _ = Jws::read(&text, Carrier::Token);
        let _ = Jws::read(&text, Carrier::Proof);
        let _ = KeySet::parse(text.as_bytes());
        let _ = fields::dictionary(&text);
        let _ = SpiffeId::parse(&text);
        let _ = uri::normalise(&text);
        let _ = RawRequest::parse(text.as_bytes());
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Names::read(&bytes);
        let _ = RawRequest::parse(&bytes);
    }

    #[test]
    fn a_dictionary_is_read_as_it_was_written(text in "[a-c]{1,2}=[\"():;?a-z0-9 =*.-]{0,20}") {
        if let Some(read) = fields::dictionary(&text) {
            let one = |(key, member): &(String, fields::Member)| format!("{key}={}", fields::serialize(member));
            let written = read.iter().map(one).collect::<Vec<_>>().join(", ");
            prop_assert_eq!(fields::dictionary(&written), Some(read));
        }
    }

    #[test]
    fn an_altered_token_is_nobodys(at in 0_usize..1000, with in "[A-Za-z0-9_.-]") {
        let good = token(json!({}), json!({}));
        let at = at % good.len();
        let mut altered = good.clone();
        altered.replace_range(at..=at, &with);
        let answer = Ask::bearer(&altered).ask(&identity(&issuer_toml("")), NOW);
        prop_assert_eq!(answer.is_ok(), altered == good);
    }

    #[test]
    fn any_headers(name in 0_usize..9, value in "[ -~]{0,120}", target in "/[ -~]{0,40}") {
        let names = ["authorization", "dpop", "webhook-signature", "webhook-id", "webhook-timestamp",
            "stripe-signature", "signature", "signature-input", "x-slack-signature"];
        let _ = Ask::new("POST", &target).header(names[name], &value).ask(&identity(&issuer_toml("")), NOW);
    }
}
