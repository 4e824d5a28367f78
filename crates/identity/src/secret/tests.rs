use model::{Entropy, EntropyError};
use proptest::prelude::*;

use super::*;

struct Fixed([u8; 32]);

impl Entropy for Fixed {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.copy_from_slice(&self.0);
        Ok(())
    }
}

fn secret(bits: [u8; 32]) -> TokenSecret {
    TokenSecret::generate(&Fixed(bits)).unwrap()
}

fn check(text: &str, expect: Result<(), TokenError>) {
    assert_eq!(TokenSecret::parse(text).map(|_| ()), expect, "{text}");
}

#[test]
fn the_text_is_as_documented() {
    let zero = secret([0; 32]).reveal();
    assert_eq!(zero.len(), TEXT_BYTES);
    assert!(zero.starts_with(&format!("casemate_{}", "0".repeat(43))));
    let one = secret({
        let mut bits = [0; 32];
        bits[31] = 61;
        bits
    });
    assert!(one.reveal().starts_with(&format!("casemate_{}z", "0".repeat(42))));
    let crc = crc32fast::hash(&zero.as_bytes()[..52]);
    let last = DIGITS[(crc % 62) as usize];
    assert_eq!(zero.as_bytes().last(), Some(&last));
}

proptest! {
    #[test]
    fn every_secret_comes_back(bits in any::<[u8; 32]>()) {
        let made = secret(bits);
        let read = TokenSecret::parse(&made.reveal()).unwrap();
        prop_assert_eq!(*read.0, bits);
        prop_assert_eq!(read.hash(), made.hash());
    }

    #[test]
    fn one_changed_character_is_seen(bits in any::<[u8; 32]>(), at in 9_usize..58, to in 0_usize..62) {
        let made = secret(bits).reveal();
        let mut text = made.as_bytes().to_vec();
        prop_assume!(text[at] != DIGITS[to]);
        text[at] = DIGITS[to];
        prop_assert!(TokenSecret::parse(std::str::from_utf8(&text).unwrap()).is_err());
    }

    #[test]
    fn no_text_breaks_it(text in ".{0,80}", tail in "[0-9A-Za-z]{45,53}") {
        let _ = TokenSecret::parse(&text);
        let _ = TokenSecret::parse(&format!("casemate_{tail}"));
    }
}

#[test]
fn what_is_no_token() {
    let good = secret([7; 32]).reveal();
    check(&good, Ok(()));
    check("", Err(TokenError::Malformed));
    check("casemate_", Err(TokenError::Malformed));
    check(&good[1..], Err(TokenError::Malformed));
    check(&good[..57], Err(TokenError::Malformed));
    check(&format!("{}x", *good), Err(TokenError::Malformed));
    check(&format!(" {}", &good[..57]), Err(TokenError::Malformed));
    check(&good.replacen("casemate_", "CASEMATE_", 1), Err(TokenError::Malformed));
    check(&format!("{}é", &good[..56]), Err(TokenError::Malformed));
    check(&format!("{}-", &good[..57]), Err(TokenError::Malformed));
    let swapped = format!("{}{}", &good[..52], "000000");
    check(&swapped, Err(TokenError::Checksum));
    // Beyond 256 bits, with a checksum that fits: one value has one text.
    let large = format!("casemate_{}", "z".repeat(43));
    let large = format!("{large}{}", std::str::from_utf8(&check_digits(&large)).unwrap());
    check(&large, Err(TokenError::Malformed));
}

#[test]
fn the_hash_is_of_the_random_bits() {
    let expect = "sha256:66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925";
    assert_eq!(secret([0; 32]).hash().to_string(), expect);
}
