//! Tests of the device's make-up; that merged trees are right is tested against a model in `tests/`.

use super::{LayerBlob, Merged, stack_digest};
use crate::digest::Digest;
use crate::tree::{Content, Data, DataLayout, Directory, Metadata, Node, Tree};

fn layer(name: &[u8], content: Content) -> Tree {
    let mut tree = Tree::new(Metadata::implied(), Directory::default());
    let id = tree.add(Node {
        metadata: Metadata::default(),
        content,
    });
    tree.directory_mut(Tree::ROOT)
        .unwrap()
        .entries
        .insert(name.into(), id);
    tree
}

fn file(size: u64) -> Content {
    Content::Regular(Data {
        size,
        segment: 0,
        layout: DataLayout::Flat(1),
    })
}

fn check(layers: &[(Tree, u8)], expect: &[u8]) {
    let mut merged = Merged::new();
    layers.iter().for_each(|(tree, _)| merged.add(tree));
    let blob = |name: u8| LayerBlob {
        diff_id: Digest::of(&[name]),
        length: 8192,
    };
    let blobs: Vec<_> = layers.iter().map(|(_, name)| blob(*name)).collect();
    let mut out = Vec::new();
    let device = merged.write(&blobs, &Digest::of(b""), &mut out).unwrap();
    assert_eq!(device.metadata_length, out.len() as u64);
    let expect: Vec<_> = expect.iter().map(|name| blob(*name)).collect();
    assert_eq!(device.segments, expect);
}

#[test]
fn device_holds_only_blobs_whose_data_is_seen_and_each_once() {
    check(
        &[(layer(b"a", file(9)), 1), (layer(b"b", file(9)), 2)],
        &[1, 2],
    );
    check(
        &[(layer(b"a", file(9)), 1), (layer(b"a", file(9)), 2)],
        &[2],
    );
    check(
        &[
            (layer(b"a", file(9)), 1),
            (layer(b"a", Content::Whiteout), 2),
        ],
        &[],
    );
    check(
        &[(layer(b"a", file(9)), 1), (layer(b"b", file(0)), 2)],
        &[1],
    );
    let again = [
        (layer(b"a", file(9)), 1),
        (layer(b"b", file(9)), 2),
        (layer(b"c", file(9)), 1),
    ];
    check(&again, &[1, 2]);
    check(&[], &[]);
}

#[test]
fn stack_digest_depends_on_the_order() {
    let [a, b] = [Digest::of(b"a"), Digest::of(b"b")];
    assert_ne!(
        stack_digest([a, b].into_iter()),
        stack_digest([b, a].into_iter())
    );
}
