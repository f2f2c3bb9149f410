//! One YAML document as a JSON value, so that both kinds of CDI files go through one definition. Above: `spec`.
//!
//! A parser of events is all that is used of YAML: anchors, tags and a second document, which no CDI file needs, are refused, so that
//! a file can't grow while it is read.

use std::borrow::Cow;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};
use serde_json::{Map, Number, Value};

/// A CDI file has seven levels.
const MAX_DEPTH: usize = 32;

/// Why a text is no document for us.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    #[error("parse YAML")]
    Parse(#[from] ScanError),
    #[error("line {line}: {what} can't be in a CDI file")]
    Unwanted { line: usize, what: &'static str },
    #[error("line {line}: {key} stands twice")]
    Twice { line: usize, key: String },
    #[error("the file is empty")]
    Empty,
}

/// A collection that is open, with what it has so far.
enum Open {
    List(Vec<Value>),
    /// With the key whose value comes next.
    Mapping(Map<String, Value>, Option<String>),
}

pub(crate) fn parse(text: &str) -> Result<Value, YamlError> {
    let mut open = Vec::new();
    let mut document = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event?;
        let line = span.start.line();
        let unwanted = |what| YamlError::Unwanted { line, what };
        let value = match event {
            Event::Alias(_) => return Err(unwanted("an alias")),
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => return Err(unwanted("a tag")),
            Event::DocumentStart(_) if document.is_some() => {
                return Err(unwanted("a second document"));
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() == MAX_DEPTH => {
                return Err(unwanted("so deep a nesting"));
            }
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Mapping(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(list)) => Value::Array(list),
                Some(Open::Mapping(mapping, _)) => Value::Object(mapping),
                None => continue,
            },
            Event::Scalar(text, style, _, None) => {
                if take_key(&mut open, &text, line)? {
                    continue;
                }
                scalar(text, style)
            }
            _ => continue,
        };
        place(&mut open, &mut document, value).map_err(|()| unwanted("a key that is no text"))?;
    }
    document.ok_or(YamlError::Empty)
}

/// Whether a scalar is the key of the mapping that is open; it is kept there until its value comes.
fn take_key(open: &mut [Open], text: &str, line: usize) -> Result<bool, YamlError> {
    let Some(Open::Mapping(mapping, key @ None)) = open.last_mut() else {
        return Ok(false);
    };
    if mapping.contains_key(text) {
        let key = text.to_owned();
        return Err(YamlError::Twice { line, key });
    }
    *key = Some(text.to_owned());
    Ok(true)
}

fn place(open: &mut [Open], document: &mut Option<Value>, value: Value) -> Result<(), ()> {
    match open.last_mut() {
        None => *document = Some(value),
        Some(Open::List(list)) => list.push(value),
        Some(Open::Mapping(mapping, key)) => {
            mapping.insert(key.take().ok_or(())?, value);
        }
    }
    Ok(())
}

/// YAML's core schema for what CDI has: texts, whole numbers, booleans.
fn scalar(text: Cow<'_, str>, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::String(text.into_owned());
    }
    match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        plain => match whole(plain) {
            Some(number) => Value::Number(Number::from(number)),
            None => Value::String(text.into_owned()),
        },
    }
}

/// Numbers of YAML 1.2 and of 1.1, whose octal ones are what Go's writers have for a file mode.
fn whole(plain: &str) -> Option<i64> {
    let radix = |digits: &str, radix| i64::from_str_radix(digits, radix).ok();
    if let Some(digits) = plain.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = plain.strip_prefix("0o") {
        return radix(digits, 8);
    }
    match plain.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => radix(digits, 8),
        _ => plain.parse().ok(),
    }
}

#[cfg(test)]
mod tests;
