//! The vectors of the standards: RFC 7515 A.3, RFC 7638 §3.1, RFC 8037 A.3 and A.4.

use data_encoding::BASE64URL_NOPAD as B64;
use serde_json::{Value, json};

use super::jwk::{Algorithm, Jwk, JwkError, KeyError, KeySet};
use crate::testing;

const RSA_N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRX\
    jBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9\
    c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-c\
    sFCur-kEgU8awapJzKnqDKgw";

fn key(jwk: &Value) -> Result<Jwk, KeyError> {
    Jwk::read(jwk.as_object().unwrap())
}

/// Whether a compact JWS of any payload is this key's.
fn verifies(jwk: &Value, algorithm: Algorithm, text: &str) -> bool {
    let (signed, signature) = text.rsplit_once('.').unwrap();
    key(jwk).unwrap().verifies(algorithm, signed.as_bytes(), &B64.decode(signature.as_bytes()).unwrap())
}

#[test]
fn es256_of_rfc_7515() {
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" });
    let text = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19\
        yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    assert!(verifies(&jwk, Algorithm::ES256, text));
    assert!(!verifies(&jwk, Algorithm::EdDSA, text));
    assert!(!verifies(&jwk, Algorithm::ES256, &text.replace("eyJpc3Mi", "eyJpc3Nj")));
}

#[test]
fn ed25519_of_rfc_8037() {
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let text = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6d\
        WbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert!(verifies(&jwk, Algorithm::EdDSA, text));
    assert_eq!(B64.encode(&key(&jwk).unwrap().thumbprint), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn thumbprints() {
    let jwk = json!({ "kty": "RSA", "n": RSA_N, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29" });
    assert_eq!(B64.encode(&key(&jwk).unwrap().thumbprint), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    let jwk = json!({ "kty": "EC", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA", "crv": "P-256" });
    assert_eq!(B64.encode(&key(&jwk).unwrap().thumbprint), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
}

#[test]
fn keys_that_are_none() {
    let rsa = |n: &[u8], e: &[u8]| json!({ "kty": "RSA", "n": B64.encode(n), "e": B64.encode(e) });
    let n = B64.decode(RSA_N.as_bytes()).unwrap();
    assert!(key(&rsa(&n, &[1, 0, 1])).is_ok());
    let point = testing::P256.jwk();
    for broken in [
        rsa(&n[..128], &[1, 0, 1]),
        rsa(&[&[1], n.as_slice()].concat().repeat(5), &[1, 0, 1]),
        rsa(&[&[0], n.as_slice()].concat(), &[1, 0, 1]),
        rsa(&n, &[3]),
        rsa(&n, &[1, 0, 0]),
        rsa(&n, &[0, 1, 0, 1]),
        rsa(&n, &[]),
        testing::with(point.clone(), json!({ "x": point["y"], "y": point["y"] })),
        testing::with(point.clone(), json!({ "x": "AAAA" })),
        testing::with(point.clone(), json!({ "x": null })),
        testing::with(point.clone(), json!({ "x": format!("{}=", point["x"].as_str().unwrap()) })),
        testing::with(point.clone(), json!({ "crv": "P-384" })),
        testing::with(point.clone(), json!({ "kid": 7 })),
        testing::with(point.clone(), json!({ "key_ops": "verify" })),
    ] {
        assert!(matches!(key(&broken), Err(KeyError::Broken(_))), "{broken}");
    }
    for unknown in [
        json!({ "kty": "oct" }),
        json!({ "kty": "EC", "crv": "secp256k1" }),
        json!({ "kty": "OKP", "crv": "X25519" }),
    ] {
        assert_eq!(key(&unknown).err(), Some(KeyError::Unknown));
    }
    let unfit = testing::with(point, json!({ "alg": "ES512" }));
    assert!(!key(&unfit).unwrap().fits(Algorithm::ES256));
}

#[test]
fn documents_of_keys() {
    let parse = |text: &str| KeySet::parse(text.as_bytes()).map(|_| ());
    assert_eq!(parse(&testing::jwks()), Ok(()));
    assert_eq!(parse("{}"), Err(JwkError::Malformed));
    assert_eq!(parse("{\"keys\":[7]}"), Err(JwkError::Malformed));
    assert_eq!(parse("{\"keys\":[],\"keys\":[]}"), Err(JwkError::Duplicate));
    assert_eq!(parse("{\"keys\":[]}"), Err(JwkError::Empty));
    assert_eq!(
        parse(&json!({ "keys": [{ "kty": "oct", "k": "AAAA" }] }).to_string()),
        Err(JwkError::Private(1))
    );
    let leaked =
        json!({ "keys": [testing::ED.jwk(), testing::with(testing::ED.jwk(), json!({ "d": "AAAA" }))] });
    assert_eq!(parse(&leaked.to_string()), Err(JwkError::Private(2)));
    let many = json!({ "keys": vec![testing::ED.jwk(); 65] });
    assert_eq!(parse(&many.to_string()), Err(JwkError::Bounds));
    let twice =
        KeySet::parse(json!({ "keys": [testing::ED.jwk(), testing::ED.jwk()] }).to_string().as_bytes())
            .unwrap();
    assert!(twice.choose(None, Algorithm::EdDSA).is_err(), "two would do");
}
