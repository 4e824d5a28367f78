//! How large, how deep and how old anything may be that a caller presents. It never changes at run time.

/// Bytes of a token or of a proof, as they are sent.
pub(crate) const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// How deep objects and lists may lie in one another.
pub(crate) const JSON_DEPTH_MAX: usize = 8;
/// Values of one JSON text, members and elements alike.
pub(crate) const JSON_VALUES_MAX: usize = 512;
/// Bytes of a document of keys.
pub(crate) const JWKS_BYTES_MAX: usize = 256 * 1024;
/// Keys of one document.
pub(crate) const JWKS_KEYS_MAX: usize = 64;
/// Values of one document of keys.
pub(crate) const JWKS_VALUES_MAX: usize = 4096;
/// Bytes of a key's id.
pub(crate) const KID_BYTES_MAX: usize = 256;
/// Bytes of a subject's name.
pub(crate) const SUBJECT_BYTES_MAX: usize = 255;
/// Groups of one token, and values of one attribute.
pub(crate) const GROUPS_MAX: usize = 128;
/// Bytes of one group's name or of one value of an attribute.
pub(crate) const GROUP_BYTES_MAX: usize = 256;
/// The last second that a date of a token may name: the end of the year 9999.
pub(crate) const DATE_S_MAX: u64 = 253_402_300_799;
/// How far the clocks of two machines may be apart.
pub(crate) const SKEW_S_MAX: u64 = 120;
/// The same, where nobody says.
pub(crate) const SKEW_S: u64 = 30;
/// How old a proof may be, where nobody says.
pub(crate) const PROOF_AGE_S: u64 = 60;
/// How old a proof may be at most.
pub(crate) const PROOF_AGE_S_MAX: u64 = 300;
/// How old or how early a message may be, where nobody says.
pub(crate) const MESSAGE_WINDOW_S: u64 = 300;
/// How old or how early a message may be at most.
pub(crate) const MESSAGE_WINDOW_S_MAX: u64 = 900;
/// Bytes of a proof's or message's own id, and of a nonce.
pub(crate) const ID_BYTES_MAX: usize = 256;
/// Ids that are remembered for one tenant, where nobody says.
pub(crate) const REPLAYS_PER_TENANT: usize = 65_536;
/// Ids that may be remembered for one tenant.
pub(crate) const REPLAYS_PER_TENANT_MAX: usize = 1_048_576;
/// Bytes of a client's certificate.
pub(crate) const CERTIFICATE_BYTES_MAX: usize = 64 * 1024;
/// Names of one kind in a client's certificate.
pub(crate) const NAMES_MAX: usize = 64;
/// Bytes of a SPIFFE ID (SPIFFE-ID §2.3).
pub(crate) const SPIFFE_BYTES_MAX: usize = 2048;
/// Signatures that one message may carry.
pub(crate) const SIGNATURES_MAX: usize = 8;
/// Secrets or keys that may be good for one sender at once.
pub(crate) const SENDER_KEYS_MAX: usize = 4;
/// Components that a signature of a message may cover.
pub(crate) const COMPONENTS_MAX: usize = 64;
/// Bytes of a header that carries signatures.
pub(crate) const SIGNATURE_HEADER_BYTES_MAX: usize = 8 * 1024;
/// Issuers, senders or keys of one kind in a configuration.
pub(crate) const ENTRIES_MAX: usize = 256;
/// Bytes of a request that is read from a file.
pub(crate) const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Header lines of a request that is read from a file.
pub(crate) const REQUEST_HEADERS_MAX: usize = 100;
/// Access tokens of one configuration that are remembered as proved.
pub(crate) const PROVED_MAX: usize = 16_384;
/// Bytes of a tenant's configuration.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;
/// How long a session lasts, where nobody says.
pub(crate) const SESSION_S: u64 = 3_600;
/// How short a session may be.
pub(crate) const SESSION_S_MIN: u64 = 10;
/// How long a session may last at most.
pub(crate) const SESSION_S_MAX: u64 = 43_200;
/// How old an ID token may be that opens a session.
pub(crate) const LOGIN_AGE_S_MAX: u64 = 600;
/// Rules that give roles to people who log in.
pub(crate) const GRANTS_MAX: usize = 64;
/// Bytes of the random part of a login's nonce.
pub(crate) const SEED_BYTES: usize = 32;
