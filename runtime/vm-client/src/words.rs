//! Text from a guest or a dead monitor, made fit for a terminal and a log. Main function: [`printable`].

#[cfg(test)]
mod tests;

/// The text with every control character but the line feed escaped, so that it can't steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars().filter(|character| *character != '\r') {
        match character {
            '\n' | '\t' => out.push(character),
            _ if character.is_control() => out.extend(character.escape_default()),
            _ => out.push(character),
        }
    }
    out
}
