//! The one place where texts of a guest are made fit to show and to keep.

use crate::deadlines::MAX_TEXT_BYTES;

/// Cut to a limit, with control characters escaped.
pub(crate) fn shown(text: &str) -> String {
    let cut = text.floor_char_boundary(MAX_TEXT_BYTES);
    let mut shown = String::new();
    for character in text.get(..cut).unwrap_or_default().chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests;
