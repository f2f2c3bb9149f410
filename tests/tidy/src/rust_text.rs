//! Rust source taken apart into code, comments and literals, so that a rule about code never trips over a
//! word in a string.
//!
//! Main function: [`split`]. Used by every rule that looks for a word in `.rs` files. It is a scanner, not a
//! parser: enough of the lexical rules (The Rust Reference, "Tokens") to know what kind each byte is.

#[cfg(test)]
mod tests;

/// A source text three times, each with the other kinds blanked by spaces: offsets and lines agree with the
/// original in all three.
#[derive(Debug, Clone)]
pub struct Split {
    pub code: String,
    pub comments: String,
    pub literals: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

pub fn split(source: &str) -> Split {
    let kinds = kinds(source.as_bytes());
    Split {
        code: keep(source, &kinds, Kind::Code),
        comments: keep(source, &kinds, Kind::Comment),
        literals: keep(source, &kinds, Kind::Literal),
    }
}

/// The identifiers and keywords of blanked code, each with its byte offset.
pub fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    code.split(|character: char| !(character.is_alphanumeric() || character == '_'))
        .map(move |word| {
            let start = at;
            // Separators of blanked code are ASCII but for stray marks, so step by the real length.
            at = start
                + word.len()
                + code[start + word.len()..]
                    .chars()
                    .next()
                    .map_or(0, char::len_utf8);
            (start, word)
        })
        .filter(|(_, word)| !word.is_empty())
}

fn keep(source: &str, kinds: &[Kind], wanted: Kind) -> String {
    let mut kept = String::with_capacity(source.len());
    for (offset, character) in source.char_indices() {
        let stays = character == '\n' || kinds.get(offset) == Some(&wanted);
        match stays {
            true => kept.push(character),
            false => kept.extend(std::iter::repeat_n(' ', character.len_utf8())),
        }
    }
    kept
}

fn kinds(bytes: &[u8]) -> Vec<Kind> {
    let mut kinds = vec![Kind::Code; bytes.len()];
    let mut at = 0;
    while at < bytes.len() {
        let (kind, end) = token(bytes, at);
        let end = end.clamp(at + 1, bytes.len());
        if let Some(range) = kinds.get_mut(at..end) {
            range.fill(kind);
        }
        at = end;
    }
    kinds
}

/// The kind of what starts at `at`, and where it ends.
fn token(bytes: &[u8], at: usize) -> (Kind, usize) {
    let rest = &bytes[at..];
    match rest {
        [b'/', b'/', ..] => (Kind::Comment, at + line_end(rest)),
        [b'/', b'*', ..] => (Kind::Comment, at + block_comment_end(rest)),
        [b'"', ..] => (Kind::Literal, at + 1 + quoted_end(&rest[1..], b'"')),
        [b'\'', ..] => match character_end(rest) {
            Some(length) => (Kind::Literal, at + length),
            None => (Kind::Code, at + 1),
        },
        [first, ..] if is_word(*first) => after_word(bytes, at),
        _ => (Kind::Code, at + 1),
    }
}

/// A word: an identifier, or the prefix (`r`, `b`, `br`, `c`, `cr`) of a literal that ends as a raw string ends.
fn after_word(bytes: &[u8], at: usize) -> (Kind, usize) {
    let length = bytes[at..]
        .iter()
        .take_while(|byte| is_word(**byte))
        .count();
    let (word, rest) = bytes[at..].split_at(length);
    let raw = matches!(word, b"r" | b"br" | b"cr");
    let marks = rest.iter().take_while(|byte| **byte == b'#').count();
    if raw && rest.get(marks) == Some(&b'"') {
        let body = &rest[marks + 1..];
        return (
            Kind::Literal,
            at + length + marks + 1 + raw_end(body, marks),
        );
    }
    (Kind::Code, at + length)
}

fn line_end(rest: &[u8]) -> usize {
    rest.iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(rest.len())
}

/// Block comments nest (The Rust Reference, "Comments").
fn block_comment_end(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        let step = match &rest[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth = depth.saturating_sub(1);
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a quoted literal's body with its closing quote.
fn quoted_end(body: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while let Some(byte) = body.get(at) {
        match *byte {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    body.len()
}

fn raw_end(body: &[u8], marks: usize) -> usize {
    let closing: Vec<u8> = std::iter::once(b'"')
        .chain(std::iter::repeat_n(b'#', marks))
        .collect();
    body.windows(closing.len())
        .position(|window| window == closing)
        .map_or(body.len(), |at| at + closing.len())
}

/// The length of a character literal that starts here; nothing if the quote opens a lifetime or a label.
fn character_end(rest: &[u8]) -> Option<usize> {
    let body = &rest[1..];
    if body.first() == Some(&b'\\') {
        return Some(1 + quoted_end(body, b'\''));
    }
    let width = std::str::from_utf8(&body[..body.len().min(4)])
        .map_or_else(|error| error.valid_up_to(), str::len);
    let text = std::str::from_utf8(&body[..width]).ok()?;
    let first = text.chars().next()?.len_utf8();
    (body.get(first) == Some(&b'\'')).then_some(first + 2)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}
