//! Schema versions: shown as their author wrote them, compared as semver.

use std::cmp::Ordering;
use std::fmt;

/// The longest version text that is kept.
const MAX_LENGTH: usize = 64;

/// A schema's version.
///
/// Equal and ordered by precedence (Semantic Versioning 2.0.0, section 11): `1`, `v1.0` and
/// `1.0.0+build` are one version in three spellings, and can't be installed beside each other.
#[derive(Clone, Debug)]
pub struct SchemaVersion {
    written: Box<str>,
    semver: semver::Version,
}

impl SchemaVersion {
    /// Reads `1`, `1.2`, `1.2.3` or `v1.2`, with space around it; three parts may carry a
    /// pre-release and build metadata.
    ///
    /// # Errors
    ///
    /// Says what is expected, to stand after the key's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let written = text.trim();
        let bare = written.strip_prefix(['v', 'V']).unwrap_or(written);
        let digits_and_dots = bare.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let full = match bare.split('.').count() {
            1 if digits_and_dots => format!("{bare}.0.0"),
            2 if digits_and_dots => format!("{bare}.0"),
            _ => bare.to_owned(),
        };
        if written.len() > MAX_LENGTH {
            return Err(format!("is longer than {MAX_LENGTH} characters"));
        }
        match semver::Version::parse(&full) {
            Ok(semver) => Ok(Self { written: written.into(), semver }),
            Err(e) => Err(format!("{written:?} is not a version such as 1, 1.2 or 1.2.3: {e}")),
        }
    }

    /// The text, as its author wrote it.
    pub fn as_written(&self) -> &str {
        &self.written
    }

    /// The version that it means, filled up to three parts.
    pub fn semver(&self) -> &semver::Version {
        &self.semver
    }

    /// The number that a breaking change must raise: the major version, and before 1.0 the
    /// minor one (Semantic Versioning 2.0.0, section 4, as Cargo and npm read it).
    pub fn compatibility(&self) -> (u64, u64) {
        match self.semver.major {
            0 => (0, self.semver.minor),
            major => (major, 0),
        }
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl PartialEq for SchemaVersion {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for SchemaVersion {}

impl PartialOrd for SchemaVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SchemaVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.semver.cmp_precedence(&other.semver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(text: &str) -> SchemaVersion {
        SchemaVersion::parse(text).expect(text)
    }

    #[test]
    fn reads_what_authors_write() {
        for (text, semver) in [
            ("1", "1.0.0"),
            ("1.2", "1.2.0"),
            ("1.10", "1.10.0"),
            ("1.2.3", "1.2.3"),
            ("v1.2", "1.2.0"),
            ("V2", "2.0.0"),
            ("  0.1 ", "0.1.0"),
            ("1.0.0-rc.1", "1.0.0-rc.1"),
            ("1.0.0-rc.1+b", "1.0.0-rc.1+b"),
        ] {
            let read = version(text);
            assert_eq!(read.semver().to_string(), semver);
            assert_eq!(read.as_written(), text.trim());
            assert_eq!(read.to_string(), text.trim());
        }
    }

    #[test]
    fn refuses_what_is_no_version() {
        for text in [
            "", "v", "vv1", "one", "1.", ".1", "1.2.3.4", "01", "1.02", "1-rc", "1.2-rc", "-1", "1 2",
            "1.0.0-",
        ] {
            let message = SchemaVersion::parse(text).expect_err(text);
            assert!(message.contains("such as 1, 1.2 or 1.2.3"), "{text}: {message}");
        }
        assert!(SchemaVersion::parse(&"1".repeat(65)).expect_err("long").contains("64"));
        assert!(SchemaVersion::parse("99999999999999999999").is_err());
    }

    #[test]
    fn spelling_and_build_metadata_make_no_difference() {
        assert_eq!(version("1"), version("v1.0.0"));
        assert_eq!(version("1.0.0+a"), version("1.0.0+b"));
        assert_ne!(version("1.0.0-rc.1"), version("1.0.0"));
    }

    #[test]
    fn orders_by_precedence() {
        let ordered = ["0.9", "1.0.0-alpha", "1.0.0-rc.2", "1.0.0-rc.10", "1", "1.2", "1.10", "v2"];
        assert!(ordered.windows(2).all(|pair| version(pair[0]) < version(pair[1])));
    }

    #[test]
    fn minor_counts_before_one() {
        assert_ne!(version("0.1").compatibility(), version("0.2").compatibility());
        assert_eq!(version("1.1").compatibility(), version("1.2").compatibility());
        assert_ne!(version("0.9").compatibility(), version("1").compatibility());
    }

    proptest! {
        #[test]
        fn never_panics_and_writes_what_it_read(text in ".{0,80}") {
            if let Ok(read) = SchemaVersion::parse(&text) {
                prop_assert_eq!(read.as_written(), text.trim());
                prop_assert_eq!(SchemaVersion::parse(read.as_written()), Ok(read.clone()));
            }
        }

        #[test]
        fn order_is_that_of_the_numbers(a: (u16, u16, u16), b: (u16, u16, u16)) {
            let text = |v: (u16, u16, u16)| format!("{}.{}.{}", v.0, v.1, v.2);
            prop_assert_eq!(version(&text(a)).cmp(&version(&text(b))), a.cmp(&b));
        }
    }
}
