//! Why a request is nobody's: precise for the record, one sentence for the caller. It never repeats what was
//! presented.

use std::sync::Arc;

use serde::{Serialize, Serializer};

macro_rules! reasons {
    ($($name:ident $code:literal $sentence:literal;)*) => {
        /// Why a request proves nothing. Each has a stable code and a sentence, for the record and for
        /// whoever checks a configuration; the caller is told [`Nobody::SENTENCE`] and nothing else.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $sentence] $name,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable code, in kebab case.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What it means, as a fragment.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)* }
            }
        }
    };
}

reasons! {
    CredentialNone "credential-none" "no credential was presented";
    CredentialSeveral "credential-several" "more than one credential, or more than one kind of them";
    CredentialScheme "credential-scheme" "an authorization scheme other than `Bearer` and `DPoP`";
    CredentialMalformed "credential-malformed" "the `Authorization` header is malformed";
    CredentialRefused "credential-not-accepted" "a kind of credential that the configuration does not name";
    CredentialElsewhere "credential-not-taken-here" "a credential that this function does not accept";
    CredentialInQuery "credential-in-query" "a credential in the query, where it must be taken for stolen";
    RequestMalformed "request-malformed" "the request's target or authority is malformed";
    TokenInTarget "token-in-target" "a token in the request's target, where it must be taken for stolen";
    TokenMalformed "token-malformed" "the credential is no token";
    TokenChecksum "token-checksum" "the token's checksum does not fit";
    TokenUnknown "token-unknown" "the token is unknown";
    TokenExpired "token-expired" "the token has expired";
    TokenRevoked "token-revoked" "the token was revoked";
    JwtOversized "jwt-oversized" "the access token is longer than any that is read";
    JwtMalformed "jwt-malformed" "the access token is no JWT in compact form";
    JwtSerialization "jwt-serialization" "the access token is a JWS in JSON form, which is not taken";
    JwtEncrypted "jwt-encrypted" "the access token is encrypted or compressed, which is not taken";
    JwtEncoding "jwt-encoding" "a part of the access token is not strict base64url";
    JwtDuplicate "jwt-duplicate" "a member of the access token stands twice";
    JwtBounds "jwt-bounds" "the access token is deeper or has more values than is read";
    JwtHeader "jwt-header" "a member of the access token's header is missing or of the wrong type";
    JwtUnsigned "jwt-unsigned" "the access token names the algorithm `none`";
    JwtAlgorithm "jwt-algorithm" "the access token names an algorithm that its issuer's entry does not";
    JwtCritical "jwt-critical" "the access token has a critical extension, and none is understood";
    JwtEmbeddedKey "jwt-embedded-key" "the access token brings or points to a key of its own";
    JwtIssuer "jwt-issuer" "the access token is of an issuer that the configuration does not name";
    JwtType "jwt-type" "the access token's `typ` is not one that its issuer's entry names";
    JwtIdToken "jwt-id-token" "this is an ID token, which is for its client alone";
    JwtKeysAbsent "jwt-keys-absent" "the issuer's keys could not be fetched, or not for too long";
    JwtKeyUnknown "jwt-key-unknown" "the issuer has no key of the id that the access token names";
    JwtKeyUnfit "jwt-key-unfit" "the issuer's key is not for the access token's algorithm or use";
    JwtKeyAmbiguous "jwt-key-ambiguous" "more than one of the issuer's keys would do";
    JwtSignature "jwt-signature" "the access token's signature does not fit";
    JwtClaim "jwt-claim" "a claim of the access token is of the wrong type";
    JwtClaimMissing "jwt-claim-missing" "a claim that every access token must have is missing";
    JwtSubject "jwt-subject" "the access token's subject is no name: 1 to 255 visible ASCII characters";
    JwtDate "jwt-date" "a date of the access token is no whole number of seconds, or makes no sense";
    JwtAudience "jwt-audience" "the access token is for another audience";
    JwtExpired "jwt-expired" "the access token has expired";
    JwtNotYet "jwt-not-yet" "the access token is not valid yet";
    JwtIssuedAhead "jwt-issued-ahead" "the access token was issued in the future";
    JwtLifetime "jwt-lifetime" "the access token lives longer than its issuer's entry allows";
    JwtConfirmation "jwt-confirmation" "the access token is bound in a way that is not understood";
    JwtUnbound "jwt-unbound" "the access token is bound to nothing, and its issuer's entry wants it bound";
    CertificateMissing "certificate-missing" "the access token is bound to a certificate, and none was presented";
    CertificateOther "certificate-other" "the access token is bound to another certificate";
    CertificateMalformed "certificate-malformed" "the client's certificate is malformed";
    CertificateDates "certificate-dates" "the client's certificate has ended or not begun";
    CertificateAuthority "certificate-authority" "the client's certificate is that of an authority";
    CertificateSpiffe "certificate-spiffe" "the client's certificate has no one SPIFFE ID, or a malformed one";
    CertificateForeign "certificate-foreign" "the client's certificate was proved for another tenant";
    CertificateStale "certificate-stale" "the client's certificate was proved before what is trusted changed";
    CertificateUnknown "certificate-unknown" "no rule knows the client's certificate";
    CertificateAmbiguous "certificate-ambiguous" "the client's certificate could be several principals";
    DpopMissing "dpop-missing" "the access token is bound to a key, and no proof was presented with it";
    DpopScheme "dpop-scheme" "a proof was presented with another scheme than `DPoP`";
    DpopUnbound "dpop-unbound" "the scheme is `DPoP`, and the token is bound to no key";
    DpopSeveral "dpop-several" "more than one proof";
    DpopOversized "dpop-oversized" "the proof is longer than any that is read";
    DpopMalformed "dpop-malformed" "the proof is no JWT in compact form";
    DpopDuplicate "dpop-duplicate" "a member of the proof stands twice";
    DpopBounds "dpop-bounds" "the proof is deeper or has more values than is read";
    DpopHeader "dpop-header" "a member of the proof's header is missing, of the wrong type or not taken";
    DpopType "dpop-type" "the proof's `typ` is not `dpop+jwt`";
    DpopAlgorithm "dpop-algorithm" "the proof names an algorithm that is not accepted";
    DpopKey "dpop-key" "the proof's key is missing, malformed or too weak";
    DpopPrivateKey "dpop-private-key" "the proof gives its private key away";
    DpopSignature "dpop-signature" "the proof's signature does not fit";
    DpopClaim "dpop-claim" "a claim of the proof is missing, of the wrong type or too long";
    DpopMethod "dpop-method" "the proof is for another method";
    DpopUrl "dpop-url" "the proof is for another address";
    DpopStale "dpop-stale" "the proof is too old, or made in the future";
    DpopToken "dpop-token" "the proof is for another access token";
    DpopThumbprint "dpop-thumbprint" "the access token is bound to another key";
    DpopNonce "dpop-nonce" "the proof lacks a nonce of this server's, or has an old one";
    DpopReplay "dpop-replay" "the proof was used before";
    WebhookUnknown "webhook-unknown" "no sender of this scheme is named for this path";
    WebhookMalformed "webhook-malformed" "a header of the webhook is missing, twice or malformed";
    WebhookSignature "webhook-signature" "the webhook's signature does not fit";
    WebhookStale "webhook-stale" "the webhook is too old";
    WebhookEarly "webhook-early" "the webhook was made in the future";
    WebhookReplay "webhook-replay" "the webhook was delivered before";
    SignatureMalformed "signature-malformed" "the headers of the message's signature are missing or malformed";
    SignatureSeveral "signature-several" "more than one signature of the message";
    SignatureParameter "signature-parameter" "a parameter of the signature is missing, unknown or malformed";
    SignatureKeyUnknown "signature-key-unknown" "no key of the id that the signature names";
    SignatureAlgorithm "signature-algorithm" "the signature names another algorithm than its key's";
    SignatureComponents "signature-components" "the signature does not cover all that it must";
    SignatureComponentUnknown "signature-component-unknown" "the signature covers what cannot be computed here";
    SignatureComponentAbsent "signature-component-absent" "what the signature covers is absent or ambiguous";
    SignatureInvalid "signature-invalid" "the message's signature does not fit";
    SignatureDigest "signature-digest" "the body's digest is missing or does not fit";
    SignatureTag "signature-tag" "the signature is for another use";
    SignatureNonce "signature-nonce" "the signature lacks a nonce";
    SignatureStale "signature-stale" "the signature is too old";
    SignatureEarly "signature-early" "the signature was made in the future";
    SignatureReplay "signature-replay" "the signature was used before";
    LoginAbsent "login-absent" "there is no such tenant, or nobody logs in there";
    LoginType "login-type" "this is no ID token";
    LoginParty "login-party" "the ID token was given to another client";
    LoginNonce "login-nonce" "the ID token was not asked for by the key that presents it";
    LoginStale "login-stale" "the ID token is too old to log in with";
    LoginReplay "login-replay" "the ID token was used before";
    LoginUnmapped "login-unmapped" "no rule of the login gives this person a role";
    LoginFull "login-full" "the tenant has as many sessions as it may have";
    LoginState "login-state" "as the client tells: the provider's answer is to another question";
    LoginIssuer "login-issuer" "as the client tells: the answer is another provider's";
    LoginDenied "login-denied" "as the client tells: the provider, or the person, said no";
    LoginExpired "login-expired" "as the client tells: nobody answered the provider in time";
    LoginFailed "login-failed" "as the client tells: the provider does not do what it must";
    SessionUnknown "session-unknown" "the session is unknown";
    SessionUnproved "session-unproved" "a session without the proof of its key";
    SessionExpired "session-expired" "the session has ended";
    SessionRevoked "session-revoked" "the session was revoked";
    SessionUnmapped "session-unmapped" "what gave the session its roles is not configured any more";
    ReplaysFull "replays-full" "there is no room to remember another proof of this tenant";
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.code())
    }
}

/// Nobody: what is known of a request that proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}", .reason.sentence())]
pub struct Nobody {
    /// Why.
    #[serde(rename = "code")]
    pub reason: Reason,
    /// The entry of the configuration that was asked, where one was found: whose keys to fetch again where
    /// the reason is [`Reason::JwtKeyUnknown`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<Arc<str>>,
    /// Whose the credential says it is, which nothing has proved: the principal's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed: Option<Arc<str>>,
    /// A nonce to hand back in `DPoP-Nonce`, where the reason is [`Reason::DpopNonce`].
    #[serde(skip)]
    pub nonce: Option<String>,
}

impl Nobody {
    /// All that a caller is told, with status 401.
    pub const SENTENCE: &'static str = "a valid credential is required";
    /// The HTTP status.
    pub const STATUS: u16 = 401;

    pub(crate) const fn new(reason: Reason) -> Self {
        Self { reason, entry: None, claimed: None, nonce: None }
    }

    /// Whether nothing was presented at all: the caller is anonymous, which a policy may permit.
    pub fn is_anonymous(&self) -> bool {
        self.reason == Reason::CredentialNone
    }

    /// The stable code.
    pub const fn code(&self) -> &'static str {
        self.reason.code()
    }

    /// The challenge for `WWW-Authenticate` (RFC 6750 §3, RFC 9449 §7.1): the same for every refusal of one
    /// kind of credential, but for a nonce that the caller cannot know.
    pub const fn challenge(&self) -> &'static str {
        match self.reason {
            Reason::CredentialNone => "Bearer realm=\"casemate\"",
            Reason::DpopNonce => "DPoP realm=\"casemate\", error=\"use_dpop_nonce\"",
            _ => "Bearer realm=\"casemate\", error=\"invalid_token\"",
        }
    }
}

impl From<Reason> for Nobody {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_stable_words_and_no_two_are_the_same() {
        let codes: HashSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        assert!(codes.iter().all(|code| code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    }
}
