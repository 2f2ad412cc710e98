//! A JSON body, taken apart field by field.
//!
//! By hand, because a derived reader stops at the first fault and can't say where it is: this one
//! lists everything that is wrong, each with its JSON pointer, and hands a document on as the text
//! it was sent as.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use task_inbox_domain::Document;
use task_inbox_domain::schema::validate::Problem as Invalid;

use super::problem::Problem;

/// More than any request has; what is beyond is counted, not kept.
const MAX_FIELDS: usize = 32;

/// More than any list of a request has.
const MAX_ITEMS: usize = 1000;

/// How much of a foreign field's name is repeated.
const MAX_SHOWN: usize = 100;

const NOT_VALID: &str = "the body is JSON, but not what this call takes; errors lists what is wrong";

/// The fields of an object. A `null` equals an absent field, but for [`Fields::change`].
pub(super) struct Fields<'a> {
    entries: Vec<(Cow<'a, str>, &'a RawValue)>,
    errors: Vec<Invalid>,
}

impl<'a> Fields<'a> {
    /// Reads the body's outermost level.
    ///
    /// # Errors
    ///
    /// 400 if it is not JSON, 422 if it is not an object.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Problem> {
        if body.is_empty() {
            return Err(Problem::malformed("the body is empty; this call takes a JSON object"));
        }
        let text = std::str::from_utf8(body).map_err(|e| {
            Problem::malformed(format!("the body is not UTF-8 from byte {} on", e.valid_up_to()))
        })?;
        serde_json::from_str(text).map_err(|e| match serde_json::from_str::<&RawValue>(text) {
            Ok(value) if value.get().starts_with('{') => Problem::invalid(
                NOT_VALID,
                vec![Invalid::new("", format!("has a name that is not text: {e}"))],
            ),
            Ok(_) => Problem::invalid(NOT_VALID, vec![Invalid::new("", "must be a JSON object")]),
            Err(e) => Problem::malformed(format!("the body is not JSON: {e}")),
        })
    }

    fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let position = self.entries.iter().position(|(key, _)| key == name)?;
        Some(self.entries.swap_remove(position).1)
    }

    fn take_some(&mut self, name: &str) -> Option<&'a RawValue> {
        self.take(name).filter(|value| value.get() != "null")
    }

    /// Notes that something is wrong with a field.
    pub(super) fn refuse(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.push(Invalid::new(format!("/{name}"), detail));
    }

    fn read_text(&mut self, name: &str, value: &'a RawValue, longest: usize) -> Option<String> {
        let read = if value.get().starts_with('"') {
            serde_json::from_str::<Text<'_>>(value.get()).map_err(|e| format!("is not Unicode text: {e}"))
        } else {
            Err("must be a string".to_owned())
        };
        let checked = read.and_then(|Text(text)| check_text(&text, longest).map(|()| text));
        match checked {
            Ok(text) => Some(text.into_owned()),
            Err(detail) => {
                self.refuse(name, detail);
                None
            }
        }
    }

    /// A string of at most so many characters.
    pub(super) fn text(&mut self, name: &str, longest: usize) -> Option<String> {
        self.take_some(name).and_then(|value| self.read_text(name, value, longest))
    }

    /// A string of 1 to so many characters.
    pub(super) fn name(&mut self, name: &str, longest: usize) -> Option<String> {
        let text = self.text(name, longest);
        if text.as_deref() == Some("") {
            self.refuse(name, "must not be empty");
            return None;
        }
        text
    }

    /// A string that must be there; empty if it is not, which [`Fields::finish`] then refuses.
    pub(super) fn required(&mut self, name: &str, longest: usize) -> String {
        let before = self.errors.len();
        let text = self.name(name, longest);
        if text.is_none() && self.errors.len() == before {
            self.refuse(name, "is required");
        }
        text.unwrap_or_default()
    }

    /// Notes that a field must be there, unless something is wrong with it anyway.
    pub(super) fn missing(&mut self, name: &str) {
        let place = format!("/{name}");
        if self.errors.iter().all(|error| error.pointer != place) {
            self.refuse(name, "is required");
        }
    }

    /// A field whose `null` means something: absent, null, or what `read` makes of it.
    #[expect(clippy::option_option, reason = "these are just the three cases")]
    pub(super) fn change<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self, &str) -> Option<T>,
    ) -> Option<Option<T>> {
        let (_, value) = self.entries.iter().find(|(key, _)| key == name)?;
        if value.get() == "null" {
            self.take(name);
            return Some(None);
        }
        // What can't be read is refused in the end, whatever is made of it here.
        Some(read(self, name))
    }

    /// A string whose `null` means something.
    #[expect(clippy::option_option, reason = "these are just the three cases")]
    pub(super) fn nullable(&mut self, name: &str, longest: usize) -> Option<Option<String>> {
        self.change(name, |fields, name| fields.text(name, longest))
    }

    /// A JSON object, as it was sent.
    pub(super) fn object(&mut self, name: &str) -> Option<Document> {
        self.document(name, Document::parse_object)
    }

    /// Any JSON value but null, as it was sent.
    pub(super) fn value(&mut self, name: &str) -> Option<Document> {
        self.document(name, Document::parse)
    }

    fn document<E: fmt::Display>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<Document, E>,
    ) -> Option<Document> {
        let value = self.take_some(name)?;
        parse(value.get()).map_err(|e| self.refuse(name, e.to_string())).ok()
    }

    /// `true` or `false`; absent is false.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        match self.take_some(name).map(RawValue::get) {
            Some("true") => true,
            Some("false") | None => false,
            Some(_) => {
                self.refuse(name, "must be true or false");
                false
            }
        }
    }

    /// A whole number in a range.
    pub(super) fn integer(&mut self, name: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.take_some(name)?;
        let read = whole_number(value.get()).filter(|number| range.contains(number));
        if read.is_none() {
            self.refuse(name, format!("must be a whole number from {} to {}", range.start(), range.end()));
        }
        read
    }

    /// A list of strings, each of 1 to so many characters.
    pub(super) fn names(&mut self, name: &str, longest: usize) -> Option<Vec<String>> {
        let value = self.take_some(name)?;
        let Ok(items) = serde_json::from_str::<Vec<&'a RawValue>>(value.get()) else {
            self.refuse(name, "must be a list of strings");
            return None;
        };
        if items.len() > MAX_ITEMS {
            self.refuse(name, format!("has more than {MAX_ITEMS} items"));
            return None;
        }
        let texts = items.into_iter().enumerate().filter_map(|(i, item)| {
            let place = format!("{name}/{i}");
            let text = self.read_text(&place, item, longest)?;
            if text.is_empty() {
                self.refuse(&place, "must not be empty");
            }
            Some(text)
        });
        Some(texts.collect())
    }

    /// An object of strings, in its order.
    pub(super) fn texts(&mut self, name: &str, longest: usize) -> Option<Vec<(String, String)>> {
        let value = self.take_some(name)?;
        let Ok(members) = serde_json::from_str::<Fields<'a>>(value.get()) else {
            self.refuse(name, "must be an object whose values are strings");
            return None;
        };
        for error in members.errors {
            self.errors.push(Invalid::new(format!("/{name}{}", error.pointer), error.detail));
        }
        let texts = members.entries.into_iter().filter_map(|(key, value)| {
            let place = format!("{name}{}", pointer(&key));
            Some((key.into_owned(), self.read_text(&place, value, longest)?))
        });
        Some(texts.collect())
    }

    /// A string that is read into something else.
    pub(super) fn parsed<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.name(name, MAX_SHOWN)?;
        parse(&text).map_err(|detail| self.refuse(name, detail)).ok()
    }

    /// An object that is read as a whole.
    pub(super) fn whole<T: Deserialize<'a>>(&mut self, name: &str, what: &str) -> Option<T> {
        let value = self.take_some(name)?;
        let read = serde_json::from_str(value.get());
        read.map_err(|e| self.refuse(name, format!("is not {what}: {}", without_place(&e)))).ok()
    }

    /// Fields of the contract whose behaviour is not built yet: refused rather than ignored.
    pub(super) fn not_yet(&mut self, names: &[&str]) {
        for name in names {
            if self.take_some(name).is_some() {
                self.refuse(name, "is not available yet; leave it out or send null");
            }
        }
    }

    /// Refuses whatever nobody asked for, and all that was found wrong before.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        for (name, value) in std::mem::take(&mut self.entries) {
            if value.get() != "null" {
                self.errors.push(Invalid::new(pointer(&name), "is not a field of this call"));
            }
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(NOT_VALID, self.errors)) }
    }
}

/// An error's words without a line and column that count from the middle of the body.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

/// A number without a fraction, however it is written: to JSON Schema, 2.0 and 2e0 are integers.
fn whole_number(text: &str) -> Option<i64> {
    /// Beyond it, a double no longer tells neighbours apart (RFC 8259, section 6).
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let written_otherwise = || text.parse().ok().filter(|n: &f64| n.fract() == 0.0 && n.abs() < EXACT);
    text.parse().ok().or_else(|| written_otherwise().map(|n| n as i64))
}

/// What a text must be wherever it is kept: PostgreSQL stores no U+0000.
pub(super) fn check_text(text: &str, longest: usize) -> Result<(), String> {
    if text.contains('\0') {
        return Err("contains U+0000, which can't be stored".to_owned());
    }
    if text.len() > longest && text.chars().count() > longest {
        return Err(format!("is longer than {longest} characters"));
    }
    Ok(())
}

/// The JSON pointer of a field that the caller named, who may have named it at any length.
fn pointer(name: &str) -> String {
    let escaped = name.replace('~', "~0").replace('/', "~1");
    match escaped.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("/{}…", &escaped[..end]),
        None => format!("/{escaped}"),
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::with_capacity(8);
        let mut errors = Vec::new();
        while let Some(Text(name)) = map.next_key()? {
            if entries.len() == MAX_FIELDS {
                map.next_value::<IgnoredAny>()?;
                if errors.len() < MAX_FIELDS {
                    errors.push(Invalid::new("", format!("has more than {MAX_FIELDS} fields")));
                }
                continue;
            }
            let value = map.next_value()?;
            // RFC 7493, section 2.3: readers disagree about which of the two counts.
            if entries.iter().any(|(known, _)| *known == name) {
                errors.push(Invalid::new(pointer(&name), "occurs twice"));
            } else {
                entries.push((name, value));
            }
        }
        errors.dedup();
        Ok(Fields { entries, errors })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(body: &str, read: impl Fn(&mut Fields<'_>)) -> Vec<(String, String)> {
        let mut fields = match Fields::parse(body.as_bytes()) {
            Ok(fields) => fields,
            Err(problem) => return problem.errors().map(|e| (e.pointer.clone(), e.detail.clone())).collect(),
        };
        read(&mut fields);
        match fields.finish() {
            Ok(()) => Vec::new(),
            Err(problem) => problem.errors().map(|e| (e.pointer.clone(), e.detail.clone())).collect(),
        }
    }

    #[test]
    fn lists_everything_that_is_wrong() {
        let found = problems(r#"{"a":1,"b":"\u0000","c":[],"d":3,"x/y":1,"z":null}"#, |fields| {
            fields.text("a", 10);
            fields.text("b", 10);
            fields.object("c");
            fields.not_yet(&["d"]);
            fields.required("e", 10);
        });
        let pointers: Vec<_> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/a", "/b", "/c", "/d", "/e", "/x~1y"]);
    }

    #[test]
    fn reads_flags_numbers_and_lists() {
        let body = br#"{"f":true,"i":-3,"l":["a","b"],"p":"12","n":null}"#;
        let mut fields = Fields::parse(body).expect("an object");
        assert!(fields.flag("f") && !fields.flag("n") && !fields.flag("absent"));
        assert_eq!(fields.integer("i", -3..=3), Some(-3));
        assert_eq!(fields.names("l", 1), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(fields.parsed("p", |text| text.parse::<u8>().map_err(|e| e.to_string())), Some(12));
        assert!(fields.finish().is_ok());
        let body = r#"{"f":1,"g":"true","i":4,"j":1.5,"k":"1","l":"a","m":["a",1,""],"p":"x","o":{"a":1}}"#;
        let found = problems(body, |fields| {
            fields.flag("f");
            fields.flag("g");
            for name in ["i", "j", "k"] {
                fields.integer(name, -3..=3);
            }
            fields.names("l", 1);
            fields.names("m", 1);
            fields.parsed("p", |text| text.parse::<u8>().map_err(|e| e.to_string()));
            fields.whole::<Vec<u8>>("o", "a list");
        });
        let pointers: Vec<_> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/f", "/g", "/i", "/j", "/k", "/l", "/m/1", "/m/2", "/p", "/o"]);
        assert!(!found[9].1.contains("line"), "{}", found[9].1);
    }

    #[test]
    fn tells_text_from_a_document_and_null_from_absent() {
        let mut fields = Fields::parse(br#"{"t":"\u00e9","n":null,"m":{"a": 1.50}}"#).expect("an object");
        assert_eq!(fields.text("t", 1).as_deref(), Some("é"));
        assert_eq!(fields.nullable("n", 1), Some(None));
        assert_eq!(fields.nullable("absent", 1), None);
        assert_eq!(fields.change("absent", |fields, name| fields.integer(name, 0..=1)), None);
        assert_eq!(fields.object("m").expect("an object").as_str(), r#"{"a": 1.50}"#);
        assert!(fields.finish().is_ok());
    }

    #[test]
    fn a_change_is_absent_null_or_a_value() {
        let mut fields = Fields::parse(br#"{"n":null,"i":3,"w":"x"}"#).expect("an object");
        let mut read = |name| fields.change(name, |fields, name| fields.integer(name, 0..=5));
        assert_eq!((read("absent"), read("n"), read("i")), (None, Some(None), Some(Some(3))));
        assert_eq!(read("w"), Some(None), "refused in the end");
        assert!(fields.finish().is_err());
    }

    #[test]
    fn an_object_of_texts_keeps_its_order() {
        let body = br#"{"h":{"b":"1","a":""},"none":null}"#;
        let mut fields = Fields::parse(body).expect("an object");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(fields.texts("h", 9), Some(vec![pair("b", "1"), pair("a", "")]));
        assert_eq!(fields.texts("none", 9), None);
        assert!(fields.finish().is_ok());
        let found = problems(r#"{"h":{"a":"1","a":"2","x/y":3,"z":null,"t":"long"},"l":["a"]}"#, |fields| {
            fields.texts("h", 3);
            fields.texts("l", 3);
        });
        let pointers: Vec<_> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/h/a", "/h/x~1y", "/h/z", "/h/t", "/l"]);
    }

    #[test]
    fn reads_whole_numbers_however_they_are_written() {
        for text in ["7", "7.0", "7e0", "0.7e1", "70E-1"] {
            assert_eq!(whole_number(text), Some(7), "{text}");
        }
        assert_eq!(whole_number("-9223372036854775808"), Some(i64::MIN));
        for text in ["7.5", "\"7\"", "true", "[7]", "1e300", "9007199254740993.0"] {
            assert_eq!(whole_number(text), None, "{text}");
        }
    }

    #[test]
    fn refuses_twice_too_many_and_too_long() {
        assert_eq!(problems(r#"{"a":null,"a":null}"#, |_| {})[0].1, "occurs twice");
        let many: Vec<_> = (0..1000).map(|i| format!("\"f{i}\":null")).collect();
        assert_eq!(problems(&format!("{{{}}}", many.join(",")), |_| {}).len(), 1);
        let found = problems(r#"{"a":"éé","b":"éé"}"#, |fields| {
            fields.text("a", 2);
            fields.text("b", 1);
        });
        assert_eq!(found, [("/b".to_owned(), "is longer than 1 characters".to_owned())]);
        assert_eq!(problems("[1]", |_| {}), [(String::new(), "must be a JSON object".to_owned())]);
        let surrogate = problems(r#"{"a":"\ud800"}"#, |fields| drop(fields.text("a", 9)));
        assert!(surrogate[0].1.contains("Unicode"), "{surrogate:?}");
        assert!(problems(r#"{"\ud800":1}"#, |_| {})[0].1.contains("not text"));
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        for body in
            [&b""[..], b"{", b"[1", b"{}x", b"{\"a\":1,}", b"\xff", b"{\"a\":\"\x01\"}", b"\xef\xbb\xbf{}"]
        {
            let problem = Fields::parse(body).err().expect("malformed");
            assert_eq!(problem.status(), 400, "{}", String::from_utf8_lossy(body));
        }
    }
}
