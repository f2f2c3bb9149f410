//! Reads `WWW-Authenticate`: how a registry wants to be shown who asks.
//!
//! Main type: [`Challenge`]. Pure. Grammar: RFC 9110, 11.6.1; parameters: the distribution project's token
//! authentication, RFC 6750, 3. Used by `endpoint` and `token`.

use crate::limits;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer(Bearer),
}

/// Where to get a token and what for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub(crate) realm: String,
    pub(crate) service: Option<String>,
    pub(crate) scope: Option<String>,
}

/// The strongest challenge that we can answer, of all headers.
pub(crate) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = None;
    for header in headers.filter(|header| header.len() <= limits::CHALLENGE_BYTES) {
        for challenge in parse(header) {
            match challenge {
                Challenge::Bearer(_) => return Some(challenge),
                Challenge::Basic => basic = Some(Challenge::Basic),
            }
        }
    }
    basic
}

/// All challenges of one header; what is not understood is left out.
fn parse(header: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    for part in split(header) {
        // A scheme is a word with a space or nothing behind it; a parameter has `=` behind its name.
        let (first, rest) = part.split_once(' ').unwrap_or((part, ""));
        let parameter = if first.contains('=') {
            part
        } else {
            if first.eq_ignore_ascii_case("bearer") {
                found.push(Challenge::Bearer(Bearer::default()));
            } else if first.eq_ignore_ascii_case("basic") {
                found.push(Challenge::Basic);
            }
            rest.trim_start()
        };
        let Some((name, value)) = parameter.split_once('=') else {
            continue;
        };
        if let Some(Challenge::Bearer(bearer)) = found.last_mut() {
            let value = unquote(value.trim());
            match name.trim().to_ascii_lowercase().as_str() {
                "realm" => bearer.realm = value,
                "service" => bearer.service = Some(value),
                "scope" => bearer.scope = Some(value),
                _ => {}
            }
        }
    }
    found.retain(
        |challenge| !matches!(challenge, Challenge::Bearer(bearer) if bearer.realm.is_empty()),
    );
    found
}

/// Splits at commas outside of quotes.
fn split(header: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    let parts = header.split(move |letter: char| {
        let comma = letter == ',' && !quoted;
        if letter == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && letter == '\\' && !escaped;
        comma
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

fn unquote(value: &str) -> String {
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner else {
        return value.to_owned();
    };
    let mut text = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        if letter == '\\' {
            text.extend(letters.next());
        } else {
            text.push(letter);
        }
    }
    text
}

#[cfg(test)]
mod tests;
