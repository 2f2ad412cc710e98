//! What a URL that webhooks go to must look like. Whether its address may be reached is for the
//! sender to say.

use url::Url;

/// Longest URL, in characters.
pub const MAX_URL: usize = 2048;

/// Where a URL is, for who is told of it: its path and its query may be all that keeps strangers out. A text that is
/// none (the host that tasks are called back at) stays as it is.
pub fn origin(url: &str) -> String {
    match Url::parse(url) {
        Ok(parsed) if parsed.has_host() => parsed.origin().ascii_serialization(),
        _ => url.to_owned(),
    }
}

/// Checks that a text is an absolute http or https URL without what would show or be lost.
///
/// # Errors
///
/// Says what is wrong, to stand after the URL.
pub fn check(text: &str) -> Result<Url, String> {
    if text.chars().count() > MAX_URL {
        return Err(format!("is longer than {MAX_URL} characters"));
    }
    // The parser of the URL standard drops or repairs what a person would not expect.
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err("is not a URL: it has a space, a control character or a backslash".to_owned());
    }
    let absolute = ["http://", "https://"]
        .iter()
        .any(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    if !absolute {
        return Err("is not an absolute URL that begins with http:// or https://".to_owned());
    }
    let url = Url::parse(text).map_err(|e| format!("is not a URL: {e}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name or password, which would show in lists and logs".to_owned());
    }
    if url.fragment().is_some() {
        return Err("has a fragment (#…), which is never sent".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_tells_no_path() {
        for (url, told) in [
            ("https://hooks.slack.com/services/T0/B0/secret?a=1", "https://hooks.slack.com"),
            ("http://Shop.example:8080/x", "http://shop.example:8080"),
            ("https://shop.example:443", "https://shop.example"),
            ("http://[::1]:5001/hook", "http://[::1]:5001"),
            ("shop.example", "shop.example"),
            ("shop.example:8080", "shop.example:8080"),
        ] {
            assert_eq!(origin(url), told);
        }
    }
}
