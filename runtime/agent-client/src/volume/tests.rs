//! How a tree is divided into messages.

use super::*;

fn file(path: &str, bytes: usize) -> TreeEntry {
    TreeEntry {
        path: path.to_owned(),
        uid: 1,
        gid: 2,
        kind: TreeKind::File {
            mode: 0o400,
            content: vec![b'x'; bytes],
        },
    }
}

/// Entries of each part: path, bytes, whether it goes on with a file.
fn check(tree: Vec<TreeEntry>, expect: &[&[(&str, usize, bool)]]) {
    let parts = parts(tree);
    for (part, number) in parts.iter().zip(0..) {
        assert_eq!(part.part, number);
        assert_eq!(part.last, part.part as usize + 1 == parts.len());
    }
    let found: Vec<Vec<_>> = parts
        .iter()
        .map(|part| {
            let entries = part.entries.iter();
            entries
                .map(|entry| (entry.path.as_str(), entry.content.len(), entry.append))
                .collect()
        })
        .collect();
    assert_eq!(found, expect);
}

#[test]
fn small_tree_is_one_part_and_a_large_file_goes_on_in_more() {
    const HALF: usize = PART_BYTES / 2;
    check(Vec::new(), &[&[]]);
    check(
        vec![file("a", 1), file("b", HALF)],
        &[&[("a", 1, false), ("b", HALF, false)]],
    );
    check(
        vec![file("a", 1), file("b", 2 * HALF + 3), file("c", 0)],
        &[
            &[("a", 1, false), ("b", HALF, false)],
            &[("b", HALF, true), ("b", 3, true), ("c", 0, false)],
        ],
    );
}

#[test]
fn content_is_in_no_debug_output() {
    let shown = format!("{:?}", file("token", 7));
    assert!(shown.contains("File(400, 7 bytes)"), "{shown}");
    assert!(!shown.contains("120") && !shown.contains("xxx"), "{shown}");
}
