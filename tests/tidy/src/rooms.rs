//! Rule `unsafe-rooms`: `unsafe` stands only in the few files that wrap it, whatever a crate's lints say.

#[cfg(test)]
mod tests;

use crate::Finding;
use crate::rust_text;
use crate::tree::{self, SourceFile};

const RULE: &str = "unsafe-rooms";

/// The keyword, and the lint that would let it in.
const UNSAFE_WORDS: &[&str] = &["unsafe", "unsafe_code"];

pub fn check(files: &[SourceFile]) -> Vec<Finding> {
    let outside = files
        .iter()
        .filter(|file| file.is_rust() && !is_room(&file.path));
    outside.flat_map(check_file).collect()
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    let code = rust_text::split(&file.text).code;
    let found = rust_text::words(&code).filter(|(_, word)| UNSAFE_WORDS.contains(word));
    found
        .map(|(offset, word)| {
            let line = tree::line_of(&code, offset);
            let advice = format!(
                "`{word}` outside its rooms: use a safe wrapper, or move it into one of them"
            );
            Finding::new(&file.path, line, RULE, advice)
        })
        .collect()
}

/// The rooms that ARCHITECTURE.md names: the machine, passthrough, virtio's queue, the ioctls of a tap, the attributes of a
/// mount, the agent's system calls, files by handle in a test object.
fn is_room(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["runtime", "machine" | "vfio", ..] => true,
        ["runtime", "virtio", "src", first, ..] => first.starts_with("queue"),
        ["runtime", "network" | "share-client", "src", "sys.rs"] => true,
        ["tests", "harness", "src", "sys.rs"] => true,
        ["agent", _, "src", "sys.rs"] | ["agent", _, "src", "sys", ..] => true,
        _ => false,
    }
}
