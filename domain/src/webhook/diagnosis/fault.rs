//! What can be wrong with a webhook, each in a sentence that says what to do.

use std::fmt;
use std::time::Duration;

use crate::webhook::signing::SecretError;

/// The part of a webhook that a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The secret.
    Secret,
    /// `webhook-id`.
    Id,
    /// `webhook-timestamp`.
    Timestamp,
    /// `webhook-signature`.
    Signature,
    /// The body.
    Body,
}

impl Part {
    /// The wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Id => "webhook-id",
            Self::Timestamp => "webhook-timestamp",
            Self::Signature => "webhook-signature",
            Self::Body => "body",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A header is not there, or empty.
    Missing(Part),
    /// The secret can't be read.
    Secret(SecretError),
    /// No entry of the header is of version 1; the versions that are there.
    Version(Vec<String>),
    /// An entry is not base64.
    NotBase64,
    /// An entry is base64 of so many bytes, not of the 32 of a signature.
    Length(usize),
    /// The timestamp is no number.
    Timestamp,
    /// The timestamp is in another unit than seconds.
    Unit,
    /// The timestamp is further from the clock than is tolerated.
    Clock {
        /// Seconds; negative: in the future.
        age: i64,
        /// How much is tolerated.
        tolerance: Duration,
    },
    /// A mistake, without which the signature is right.
    Mistake(Mistake),
    /// Nothing matches, whatever is tried.
    Mismatch(Evidence),
}

/// A usual mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// The secret was given without `whsec_`.
    SecretPrefixMissing,
    /// The secret was given with quotes around it, or in another form of base64.
    SecretForm,
    /// The secret's text was used as the key, without base64-decoding it.
    SecretNotDecoded,
    /// The whole text, with `whsec_`, was used as the key.
    SecretWithPrefix,
    /// The whole text, with `whsec_`, was base64-decoded.
    SecretPrefixDecoded,
    /// The id was given without `evt_`.
    IdPrefixMissing,
    /// The id that was signed has no `evt_`.
    IdPrefixAdded,
    /// The timestamp was given in milliseconds or finer; seconds were signed.
    TimestampUnit,
    /// The timestamp was given as a date or a fraction; whole seconds were signed.
    TimestampForm,
    /// The signature is written in hexadecimal.
    SignatureHex,
    /// The signature has no version before it.
    SignatureVersionMissing,
    /// The signature has another version before it.
    SignatureVersion(String),
    /// The signature is in another form of base64.
    SignatureForm,
    /// The body has an end of line that was not sent.
    BodyNewlineAdded,
    /// The body lacks an end of line that was sent.
    BodyNewlineMissing,
    /// The body's ends of lines were changed.
    BodyLineEnds,
    /// The body has a byte order mark that was not sent.
    BodyMark,
    /// The body was parsed and written again, with other spaces.
    BodySpaces,
    /// The body was parsed and written again, with characters escaped.
    BodyEscapes,
    /// The body was given in base64.
    BodyBase64,
}

/// What speaks for one reason or another why nothing matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Nothing.
    None,
    /// The body is no JSON.
    NotJson,
    /// The body is another event's than the id names.
    OtherEvent,
    /// The body was parsed and written again.
    Rewritten,
    /// Body and id belong together, and the body has the form in which bodies are sent: another secret leaves no
    /// other trace than a number that was changed in the body or the timestamp.
    Whole,
}

impl Mistake {
    /// What it was made with.
    pub const fn part(&self) -> Part {
        self.explained().0
    }

    /// The part, a name for programs, and what to do.
    const fn explained(&self) -> (Part, &'static str, &'static str) {
        match self {
            Self::SecretPrefixMissing => (
                Part::Secret,
                "secret_prefix_missing",
                "the secret is right but for whsec_, which belongs before it",
            ),
            Self::SecretForm => (
                Part::Secret,
                "secret_form",
                "the secret is right but for its form: whsec_ and standard base64 with padding, without quotes",
            ),
            Self::SecretNotDecoded => (
                Part::Secret,
                "secret_not_decoded",
                "the signature was made with the secret's text as the key: what follows whsec_ must be base64-decoded \
                 first",
            ),
            Self::SecretWithPrefix => (
                Part::Secret,
                "secret_with_prefix",
                "the signature was made with the whole text as the key, whsec_ included: take the prefix off and \
                 base64-decode the rest",
            ),
            Self::SecretPrefixDecoded => (
                Part::Secret,
                "secret_prefix_decoded",
                "the signature was made with a key that was base64-decoded together with whsec_: take the prefix off \
                 first",
            ),
            Self::IdPrefixMissing => (
                Part::Id,
                "id_prefix_missing",
                "the signature is over the id with evt_ before it: take webhook-id as it was sent, not the event's id",
            ),
            Self::IdPrefixAdded => (
                Part::Id,
                "id_prefix_added",
                "the signature is over the id without evt_: sign webhook-id as it is sent",
            ),
            Self::TimestampUnit => (
                Part::Timestamp,
                "timestamp_unit",
                "the signature is over seconds, and the timestamp was given in a finer unit: take webhook-timestamp as \
                 it was sent",
            ),
            Self::TimestampForm => (
                Part::Timestamp,
                "timestamp_form",
                "the signature is over whole Unix seconds: take webhook-timestamp as it was sent, not a date or a \
                 fraction",
            ),
            Self::SignatureHex => (
                Part::Signature,
                "signature_hex",
                "the signature is right but written in hexadecimal: it is v1, and base64",
            ),
            Self::SignatureVersionMissing => (
                Part::Signature,
                "signature_version_missing",
                "the signature is right but lacks v1, before it",
            ),
            Self::SignatureVersion(_) => (
                Part::Signature,
                "signature_version",
                "the signature is right but has another version than v1 before it",
            ),
            Self::SignatureForm => (
                Part::Signature,
                "signature_form",
                "the signature is right but for its form: standard base64 with padding, entries separated by spaces",
            ),
            Self::BodyNewlineAdded => (
                Part::Body,
                "body_newline_added",
                "the body ends with an end of line that was not sent: keep the bytes as they came (printf %s, not echo)",
            ),
            Self::BodyNewlineMissing => (
                Part::Body,
                "body_newline_missing",
                "the body lacks the end of line that was sent: keep the bytes as they came",
            ),
            Self::BodyLineEnds => (
                Part::Body,
                "body_line_ends",
                "the body's ends of lines were changed between LF and CRLF: keep the bytes as they came",
            ),
            Self::BodyMark => (
                Part::Body,
                "body_mark",
                "the body begins with a byte order mark that was not sent: save it as UTF-8 without one",
            ),
            Self::BodySpaces => (
                Part::Body,
                "body_spaces",
                "the body was parsed and written again, with other spaces: verify the raw bytes, before any parser",
            ),
            Self::BodyEscapes => (
                Part::Body,
                "body_escapes",
                "the body was parsed and written again, with characters as \\u escapes: verify the raw bytes, before \
                 any parser",
            ),
            Self::BodyBase64 => (
                Part::Body,
                "body_base64",
                "the body is in base64, as some gateways hand it on: decode it first",
            ),
        }
    }
}

impl Fault {
    /// What it is about; `None`: it may be any of them.
    pub fn part(&self) -> Option<Part> {
        Some(match self {
            Self::Missing(part) => *part,
            Self::Secret(_) => Part::Secret,
            Self::Version(_) | Self::NotBase64 | Self::Length(_) => Part::Signature,
            Self::Timestamp | Self::Unit | Self::Clock { .. } => Part::Timestamp,
            Self::Mistake(mistake) => mistake.part(),
            Self::Mismatch(Evidence::NotJson | Evidence::Rewritten) => Part::Body,
            Self::Mismatch(Evidence::OtherEvent) => Part::Id,
            Self::Mismatch(Evidence::None | Evidence::Whole) => return None,
        })
    }

    /// A name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "missing",
            Self::Secret(_) => "secret_malformed",
            Self::Version(_) => "version",
            Self::NotBase64 => "not_base64",
            Self::Length(_) => "length",
            Self::Timestamp => "not_a_number",
            Self::Unit => "unit",
            Self::Clock { age, .. } if *age < 0 => "from_the_future",
            Self::Clock { .. } => "too_old",
            Self::Mistake(mistake) => mistake.explained().1,
            Self::Mismatch(_) => "mismatch",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(Part::Signature) => f.write_str(
                "webhook-signature is missing: a proxy dropped it, or the endpoint's hook_auth is head, whose webhooks \
                 carry a key in a header and are not signed",
            ),
            Self::Missing(part) => {
                write!(f, "{} is missing: nothing can be verified without it", part.as_str())
            }
            Self::Secret(error) => {
                write!(f, "the secret is none: {error}; `task-inbox webhook_key` shows one when it is made")
            }
            Self::Version(found) => write!(
                f,
                "webhook-signature has no entry of version v1 but of {}: entries are v1, and base64",
                found.join(", ")
            ),
            Self::NotBase64 => f.write_str(
                "webhook-signature is not v1, and standard base64 with padding: it was cut, changed or encoded otherwise",
            ),
            Self::Length(bytes) => write!(
                f,
                "webhook-signature holds {bytes} bytes, and a signature has 32: it was cut, or is something else"
            ),
            Self::Timestamp => f.write_str("webhook-timestamp is not a whole number of Unix seconds"),
            Self::Unit => f.write_str(
                "webhook-timestamp is in milliseconds or finer, where it has to be in seconds",
            ),
            Self::Clock { age, tolerance } => {
                let (by, allowed) = (Span(age.unsigned_abs()), Span(tolerance.as_secs()));
                if *age < 0 {
                    write!(
                        f,
                        "it is from the future: {by} ahead of this clock, where {allowed} are tolerated; one of the two \
                         clocks is wrong"
                    )
                } else {
                    write!(
                        f,
                        "it is too old: sent {by} ago, where {allowed} are tolerated; it was kept too long or recorded, \
                         or this clock is ahead"
                    )
                }
            }
            Self::Mistake(Mistake::SignatureVersion(version)) => {
                write!(f, "the signature is right but has {version} before it, where v1 belongs")
            }
            Self::Mistake(mistake) => f.write_str(mistake.explained().2),
            Self::Mismatch(evidence) => f.write_str(match evidence {
                Evidence::None => {
                    "no signature matches: it was made with another secret, or id, timestamp or body changed on the way"
                }
                Evidence::NotJson => {
                    "no signature matches, and the body is not JSON: it was cut or changed on the way"
                }
                Evidence::OtherEvent => {
                    "no signature matches, and the body is another event's than webhook-id names: headers and body are \
                     of two webhooks"
                }
                Evidence::Rewritten => {
                    "no signature matches, and the body is not as it is sent, without spaces: it was parsed and written \
                     again; verify the raw bytes"
                }
                Evidence::Whole => {
                    "no signature matches, although the body has the form in which it is sent and belongs to webhook-id: \
                     another secret signed it (of another endpoint, or from before a rotation), or its timestamp or \
                     content was changed after signing"
                }
            }),
        }
    }
}

/// Seconds, as people say them.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds @ 0..120 => write!(f, "{seconds} s"),
            seconds @ 120..7_200 => write!(f, "{} min", seconds / 60),
            seconds @ 7_200..172_800 => write!(f, "{} h", seconds / 3_600),
            seconds => write!(f, "{} days", seconds / 86_400),
        }
    }
}
