//! What an import refuses, with the message that names the object, and that nothing is kept.

use std::fs;

use harness::tar_items::{self, Item, Kind, file, folder, item, tar};

use super::{Bench, base, text};
use crate::archive::{self, Packed, gzip, plain};

/// Imports an image of one layer and expects it to be refused with this in the message.
fn check_layer(layer: Packed, expect: &str) {
    let bench = Bench::new();
    let empty = bench.files();
    let diff_id = layer.diff_id.clone();
    let good = gzip(&base());
    let path = bench.layout("archive", &[good, layer]);
    let error = text(&bench.import(&path, Some("bad")).unwrap_err());
    assert!(error.contains(expect), "expected `{expect}` in: {error}");
    assert!(
        error.contains(&format!("import layer 2 ({diff_id})")),
        "{error}"
    );
    assert_eq!(bench.files(), empty, "something was kept after: {error}");
}

fn check(items: &[Item], expect: &str) {
    check_layer(plain(tar(items)), expect);
}

fn hard_link(path: &str, target: &str) -> Item {
    item(path, Kind::HardLink(target.into()))
}

fn symlink(path: &str, target: &str) -> Item {
    item(path, Kind::Symlink(target.into()))
}

#[test]
fn paths_that_climb_are_refused() {
    check(
        &[file("../etc/passwd", "")],
        "entry `../etc/passwd`: the path climbs",
    );
    check(&[file("a/../../b", "")], "the path climbs");
    check(&[file("/..", "")], "the path climbs");
    check(
        &[file("a", ""), hard_link("b", "../a")],
        "entry `b`: the path climbs",
    );
}

#[test]
fn hard_links_to_nowhere_are_refused() {
    check(
        &[hard_link("b", "/etc/passwd")],
        "entry `b`: a hard link to the absolute path `/etc/passwd`",
    );
    check(
        &[hard_link("b", "missing")],
        "a hard link to `missing`, which no earlier entry",
    );
    check(
        &[hard_link("b", "no/such/file")],
        "a hard link to `no/such/file`",
    );
    check(
        &[folder("d"), hard_link("b", "d")],
        "a hard link to the directory `d`",
    );
    check(&[hard_link("b", "b")], "a hard link to `b`");
}

#[test]
fn duplicate_entries_are_refused() {
    check(
        &[file("a", "1"), file("./a", "2")],
        "entry `./a`: an earlier entry",
    );
    check(&[file("a", ""), folder("a")], "an earlier entry");
    check(&[folder("a"), file("a", "")], "an earlier entry");
    check(
        &[file("a", ""), file("b", ""), hard_link("b", "a")],
        "an earlier entry",
    );
    check(&[symlink("a", "b"), folder("a")], "an earlier entry");
}

#[test]
fn odd_parents_are_refused() {
    check(
        &[file("a", ""), file("a/b", "")],
        "`a` on the way is no directory",
    );
    check(
        &[symlink("a", "b"), symlink("b", "a"), file("a/x", "")],
        "too many symlinks",
    );
}

#[test]
fn entries_out_of_range_are_refused() {
    check(
        &[file("a/".repeat(2100) + "x", "")],
        "the path is longer than 4096",
    );
    check(&[file("n".repeat(256), "")], "a name is longer than 255");
    check(
        &[symlink("s", &"t".repeat(4096))],
        "the symlink's target is longer than 4095",
    );
    check(&[symlink("s", "")], "the symlink's target is empty");
    check(
        &[item("c", Kind::Char(4096, 0))],
        "the device number is out of range",
    );
    check(
        &[Item {
            uid: u32::MAX,
            ..file("a", "")
        }],
        "the uid is out of range",
    );
    check(
        &[file(".", "")],
        "the root of the layer must be a directory",
    );
    check(&[file(".wh.", "")], "hides nothing");
    check(&[file(".wh...", "")], "hides nothing");
    check(&[file(".wh.a/b", "")], "hides nothing");
    let xattrs = vec![("user.big".to_owned(), vec![0; 65_536])];
    check(
        &[Item {
            xattrs,
            ..file("a", "")
        }],
        "the value of an extended attribute is too long",
    );
    let name = format!("user.{}", "n".repeat(251));
    check(
        &[Item {
            xattrs: vec![(name, vec![])],
            ..file("a", "")
        }],
        "the name of an extended",
    );
}

#[test]
fn unknown_kinds_of_entries_are_refused() {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::new(b'V'));
    header.set_mode(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    let mut bytes = Vec::new();
    tar_items::write_entry(&mut bytes, &mut header, b"volume", b"", b"");
    check_layer(plain(bytes), "entry `volume`: entries of type 'V'");
}

#[test]
fn broken_streams_are_refused() {
    let whole = tar(&[file("a", "x".repeat(5000)), file("b", "")]);
    check_layer(plain(whole[..700].to_vec()), "truncated or damaged");
    check_layer(plain(whole[..100].to_vec()), "it ends within a header");
    let mut packed = gzip(&whole);
    packed.bytes.truncate(packed.bytes.len() - 9);
    check_layer(packed, "unpack the gzip stream of the layer");
    let mut packed = archive::zstandard(&whole);
    packed.bytes.truncate(packed.bytes.len() - 3);
    check_layer(packed, "unpack the zstd stream of the layer");
    let mut damaged = whole.clone();
    damaged[5] ^= 0x20;
    check_layer(plain(damaged), "a header's checksum differs");
    check_layer(
        plain(b"no tar at all".repeat(100)),
        "a header's checksum differs",
    );
}

#[test]
fn mislabelled_layers_are_refused() {
    let whole = tar(&[file("a", "")]);
    let label = |packed: Packed, media_type| Packed {
        media_type,
        ..packed
    };
    let gzip_type = gzip(&whole).media_type;
    let zstd_type = archive::zstandard(&whole).media_type;
    check_layer(
        label(plain(whole.clone()), gzip_type),
        "labelled gzip but its bytes are plain tar",
    );
    check_layer(
        label(gzip(&whole), zstd_type),
        "labelled zstd but its bytes are gzip",
    );
    let plain_type = plain(Vec::new()).media_type;
    check_layer(
        label(gzip(&whole), plain_type),
        "labelled plain tar but its bytes are gzip",
    );
}

#[test]
fn wrong_diff_ids_are_refused() {
    let other = gzip(&tar(&[file("other", "")])).diff_id;
    let layer = Packed {
        diff_id: other,
        ..gzip(&tar(&[file("a", "")]))
    };
    check_layer(layer, "the unpacked layer has digest");
}

#[test]
fn documents_with_wrong_digests_or_sizes_are_refused() {
    let check = |what: &str, change: fn(&mut Vec<u8>), expect: &str| {
        let bench = Bench::new();
        let layer = gzip(&base());
        let path = bench.layout("archive", std::slice::from_ref(&layer));
        let index = fs::read_to_string(path.join("index.json")).unwrap();
        let index: serde_json::Value = serde_json::from_str(&index).unwrap();
        let digest = match what {
            "layer" => archive::sha256(&layer.bytes),
            "config" => archive::sha256(&archive::config("amd64", &[layer])),
            _ => index["manifests"][0]["digest"].as_str().unwrap().to_owned(),
        };
        let member = path.join("blobs/sha256").join(&digest["sha256:".len()..]);
        let mut bytes = fs::read(&member).unwrap();
        change(&mut bytes);
        fs::write(&member, bytes).unwrap();
        let empty = bench.files();
        let error = text(&bench.import(&path, None).unwrap_err());
        assert!(error.contains(expect), "{what}: {error}");
        assert_eq!(bench.files(), empty);
    };
    let flip: fn(&mut Vec<u8>) = |bytes| *bytes.last_mut().unwrap() ^= 1;
    let longer: fn(&mut Vec<u8>) = |bytes| bytes.push(b' ');
    check("manifest", flip, "manifest sha256:");
    check("manifest", longer, "bytes, but its descriptor says");
    check("config", flip, "image configuration sha256:");
    check("config", longer, "bytes, but its descriptor says");
    check("layer", longer, "");
    check("layer", |bytes| bytes.truncate(40), "truncated or damaged");
}

#[test]
fn files_that_are_no_images_are_refused() {
    let bench = Bench::new();
    let check = |name: &str, bytes: &[u8], expect: &str| {
        fs::write(bench.path(name), bytes).unwrap();
        let empty = bench.files();
        let error = text(&bench.import(&bench.path(name), None).unwrap_err());
        assert!(error.contains(expect), "{name}: {error}");
        assert_eq!(bench.files(), empty, "{name}");
    };
    check("text", b"hello, this is no archive", "not a tar archive");
    check("empty.tar", &tar(&[]), "holds no image");
    let packed = gzip(&tar(&[file("a", "b")])).bytes;
    check("packed", &packed, "packed holds no image");
    check(
        "cut",
        &packed[..packed.len() - 9],
        "packed with gzip: unpack the gzip stream",
    );
    check("list", &tar(&[file("manifest.json", "[]")]), "missing");
    check(
        "json",
        &tar(&[file("manifest.json", "{")]),
        "no valid document",
    );
    let twice = tar(&[file("manifest.json", "[]"), file("manifest.json", "[]")]);
    check(
        "twice",
        &twice,
        "`manifest.json` of the archive is there twice",
    );
    let climbing = r#"[{"Config":"../../etc/passwd","RepoTags":null,"Layers":[]}]"#;
    check(
        "climbing",
        &tar(&[file("manifest.json", climbing)]),
        "`../../etc/passwd` is missing",
    );
    let error = text(&bench.import(&bench.path("nowhere"), None).unwrap_err());
    assert!(error.contains("nowhere"), "{error}");
    let error = text(
        &bench
            .import(std::path::Path::new("/dev/null"), None)
            .unwrap_err(),
    );
    assert!(
        error.contains("neither a folder nor a regular file"),
        "{error}"
    );
}

#[test]
fn name_pinned_to_another_digest_is_refused() {
    let bench = Bench::new();
    let path = bench.layout("a", &[gzip(&base())]);
    let name = format!("app@sha256:{}", "00".repeat(32));
    let error = text(&bench.import(&path, Some(&name)).unwrap_err());
    assert!(error.contains("pinned to another image"), "{error}");
}
