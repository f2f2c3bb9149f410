//! Images with everything that an image may have: what our EROFS is compared with GNU tar and overlayfs by. Main type:
//! [`Sample`]. Each layer begins with its root folder, and with every folder on the way to a file: what nobody said, two
//! unpackers may fill in differently.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::image::{Compression, ImageBuilder};
use crate::tar_items::{Item, Kind, file, folder, item, tar};

/// The forms in which GNU tar writes sparse files: the old header, and the three of PAX (tar manual, "Storing Sparse Files").
const SPARSE_FORMS: [SparseForm; 4] = [
    ("gnu", &["--format=gnu"]),
    ("pax-0.0", &["--format=posix", "--sparse-version=0.0"]),
    ("pax-0.1", &["--format=posix", "--sparse-version=0.1"]),
    ("pax-1.0", &["--format=posix", "--sparse-version=1.0"]),
];

/// A name, and the arguments of tar.
type SparseForm = (&'static str, &'static [&'static str]);

/// What 32 bits can't say.
const FOUR_GIB: u64 = 4 << 30;

/// The layers of one image, bottom first.
#[derive(Clone, Debug)]
pub struct Sample {
    pub name: &'static str,
    pub layers: Vec<(Compression, Vec<u8>)>,
}

impl Sample {
    /// Puts the layers on top of the image's others.
    #[must_use]
    pub fn upon(self, image: ImageBuilder) -> ImageBuilder {
        let layers = self.layers.into_iter();
        layers.fold(image, |image, (compression, tar)| {
            image.tar_layer(compression, tar)
        })
    }
}

/// One layer with every type of entry, name, owner, time and attribute.
pub fn every_kind() -> Sample {
    one_layer("every-kind", &kinds())
}

/// Three layers that hide, replace and add to each other.
pub fn stacked_layers() -> Sample {
    let forms = [Compression::None, Compression::Zstd, Compression::Gzip];
    let layers = stack();
    Sample {
        name: "stacked-layers",
        layers: forms
            .into_iter()
            .zip(layers.iter().map(|items| tar(items)))
            .collect(),
    }
}

/// Directories of one block, many blocks, and exactly full ones.
pub fn large_directories() -> Sample {
    one_layer("large-directories", &directories())
}

/// Files with holes in each form in which this machine's GNU tar writes them, the first with one of more than 4 GiB. One: a guest
/// reads every byte of it, for its kernel takes a hole like anything else.
pub fn sparse_and_huge() -> Result<Sample> {
    let [first, rest @ ..] = SPARSE_FORMS;
    let mut layers = sparse_layers(&[first], FOUR_GIB)?;
    layers.extend(sparse_layers(&rest, 64 << 20)?);
    Ok(Sample {
        name: "sparse-and-huge",
        layers,
    })
}

/// Files with holes, one of more than 4 GiB, in each form.
pub fn huge_in_every_form() -> Result<Sample> {
    Ok(Sample {
        name: "huge-in-every-form",
        layers: sparse_layers(&SPARSE_FORMS, FOUR_GIB)?,
    })
}

fn one_layer(name: &'static str, items: &[Item]) -> Sample {
    Sample {
        name,
        layers: vec![(Compression::Gzip, tar(items))],
    }
}

fn symlink(path: &str, target: impl AsRef<[u8]>) -> Item {
    Item {
        mode: 0o777,
        ..item(path, Kind::Symlink(target.as_ref().to_vec()))
    }
}

fn hard_link(path: &str, target: &str) -> Item {
    item(path, Kind::HardLink(target.into()))
}

fn with_xattrs(item: Item, xattrs: &[(&str, &[u8])]) -> Item {
    let xattrs = xattrs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
        .collect();
    Item { xattrs, ..item }
}

/// One layer with all there is.
fn kinds() -> Vec<Item> {
    let root = Item {
        mode: 0o751,
        mtime: (1_234_567_890, 987_654_321),
        ..folder("./")
    };
    let mut items = vec![root, folder("bin")];
    items.extend(files());
    items.extend(links_and_devices());
    items.extend(names());
    items.extend(attributes());
    items.push(folder("bin/"));
    items
}

fn files() -> Vec<Item> {
    vec![
        Item {
            mode: 0o4755,
            ..file("bin/su", "set-user-ID")
        },
        Item {
            mode: 0o2755,
            uid: 1000,
            gid: 2000,
            ..file("bin/sg", "set-group-ID")
        },
        Item {
            mode: 0o1777,
            ..folder("tmp")
        },
        Item {
            mode: 0,
            ..file("unreadable", "x")
        },
        file("empty", ""),
        file("one-byte", "1"),
        file("block", vec![b'b'; 4096]),
        file("block-and-one", vec![b'b'; 4097]),
        file(
            "megabytes",
            (0..=250_u8).cycle().take(3_000_001).collect::<Vec<_>>(),
        ),
        file("zeros", vec![0; 100_000]),
        file(
            "zeros-around",
            [vec![0; 50_000], vec![7; 9], vec![0; 50_000]].concat(),
        ),
        Item {
            uid: 4_000_000_000,
            gid: 3_000_000,
            ..file("large-ids", "")
        },
        Item {
            mtime: (-86_401, 250_000_000),
            ..file("before-1970", "")
        },
        Item {
            mtime: (5_000_000_000, 1),
            ..file("after-2038", "")
        },
    ]
}

fn links_and_devices() -> Vec<Item> {
    vec![
        symlink("absolute", "/etc/passwd"),
        symlink("relative", "../../outside"),
        symlink("dangling", "no/such/file"),
        symlink("long-target", "t/".repeat(2000)),
        symlink("middle-target", "m".repeat(2040)),
        hard_link("bin/su-again", "bin/su"),
        hard_link("linked-symlink", "absolute"),
        item("null", Kind::Char(1, 3)),
        item("large-device", Kind::Char(259, 1_000_000)),
        item("disk", Kind::Block(8, 1)),
        item("pipe", Kind::Fifo),
        hard_link("pipe-again", "pipe"),
    ]
}

fn names() -> Vec<Item> {
    let mut items = vec![
        file("n".repeat(255), "long"),
        file("größe-日本語-🦀", "UTF-8"),
        file(b"latin-\xe9-\xff", "not UTF-8"),
        file("white space\nand newline", ""),
        file("-", ""),
        file("!", "sorts before `.`"),
        file("...", "three dots"),
    ];
    // Every folder on the way, so that nothing is implied.
    let mut path = String::new();
    for level in 0..12 {
        path.push_str(&format!("{}{level}/", "deep".repeat(60)));
        items.push(folder(&path));
    }
    items.push(file(format!("{path}{}", "f".repeat(200)), "at the bottom"));
    items
}

fn attributes() -> Vec<Item> {
    let capability: &[u8] = b"\x01\0\0\x02\0\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    // Version 2: owner rwx, user 1000 r--, group r-x, mask r-x, others ---.
    let acl: &[u8] = b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x02\0\x04\0\xe8\x03\0\0\
        \x04\0\x05\0\xff\xff\xff\xff\x10\0\x05\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff";
    let users: [(&str, &[u8]); 5] = [
        ("user.empty", b""),
        ("user.binary", b"\0\n\xff=\n12 a=b\n"),
        ("user.large", &[b'L'; 3000]),
        ("trusted.secret", b"for root"),
        ("security.other", b"s"),
    ];
    let private = Item {
        mode: 0o750,
        ..file("acl", "")
    };
    vec![
        with_xattrs(
            file("bin/ping", "capable"),
            &[("security.capability", capability)],
        ),
        with_xattrs(file("attributes", "x"), &users),
        with_xattrs(
            folder("attributed"),
            &[("user.folder", b"yes"), ("trusted.x", b"1")],
        ),
        with_xattrs(private, &[("system.posix_acl_access", acl)]),
        with_xattrs(folder("default-acl"), &[("system.posix_acl_default", acl)]),
        with_xattrs(
            symlink("attributed-link", "x"),
            &[("trusted.link", b"on a symlink")],
        ),
    ]
}

/// Three layers that hide, replace and add to each other.
fn stack() -> Vec<Vec<Item>> {
    let whiteout = |path: &str| file(path, "");
    let bottom = vec![
        folder("."),
        folder("etc"),
        file("etc/passwd", "root"),
        file("etc/shadow", "secret"),
        folder("etc/conf.d"),
        file("etc/conf.d/a", "a"),
        file("etc/conf.d/b", "b"),
        folder("opt"),
        folder("opt/app"),
        file("opt/app/old", "old"),
        folder("opt/app/sub"),
        file("opt/app/sub/deep", "deep"),
        file("was-file", "f"),
        folder("was-folder"),
        file("was-folder/inside", "i"),
        symlink("was-link", "etc"),
        file("pair-a", "pair"),
        hard_link("pair-b", "pair-a"),
        hard_link("pair-c", "pair-a"),
        file("big", vec![b'1'; 20_000]),
        folder("remade"),
        file("remade/old", "old"),
    ];
    let middle = vec![
        Item {
            mode: 0o700,
            uid: 5,
            ..folder(".")
        },
        Item {
            mode: 0o711,
            mtime: (1_600_000_000, 5),
            ..folder("etc")
        },
        whiteout("etc/.wh.shadow"),
        folder("etc/conf.d"),
        file("etc/conf.d/c", "c"),
        folder("opt"),
        folder("opt/app"),
        whiteout("opt/app/.wh..wh..opq"),
        file("opt/app/new", "new"),
        folder("was-file"),
        file("was-file/inside", "now a folder"),
        file("was-folder", "now a file"),
        folder("was-link"),
        file("pair-a", "replaced"),
        file("big", vec![b'2'; 30_000]),
        whiteout(".wh.never-there"),
        whiteout(".wh.remade"),
        folder("remade"),
        file("remade/new", "new"),
    ];
    let top = vec![
        folder("."),
        folder("etc"),
        file("etc/shadow", "again"),
        folder("etc/conf.d"),
        whiteout("etc/conf.d/.wh.a"),
        whiteout("etc/conf.d/.wh.c"),
        whiteout(".wh.opt"),
        hard_link_pair(),
        hard_link("top-b", "top-a"),
        whiteout(".wh.pair-c"),
    ];
    vec![bottom, middle, top]
}

fn hard_link_pair() -> Item {
    file("top-a", "top")
}

/// Directories of one block, many blocks, and exactly full ones.
fn directories() -> Vec<Item> {
    let mut items = vec![folder(".")];
    // 4096 bytes: 24 for the dots' entries, 3 for their names, and 12 and a name for each other.
    for (name, count, width) in [
        ("few", 3, 4),
        ("full", 254, 4),
        ("edge", 255, 4),
        ("many", 2000, 20),
    ] {
        items.push(folder(name));
        for number in 0..count {
            items.push(file(format!("{name}/{number:0width$}"), number.to_string()));
        }
    }
    for size in 1..=255 {
        let name = "s".repeat(size);
        items.push(folder(format!("sized-{size}")));
        items.push(symlink(
            &format!("sized-{size}/{name}"),
            "x".repeat(size * 16),
        ));
    }
    items
}

/// Files with holes, once in each form, in a folder with the form's name.
fn sparse_layers(forms: &[SparseForm], huge: u64) -> Result<Vec<(Compression, Vec<u8>)>> {
    let scratch = tempfile::tempdir().context("make a folder for sparse files")?;
    let layer = |&(form, arguments): &SparseForm| {
        let tree = scratch.path().join(form);
        sparse_files(&tree.join(form), huge)
            .with_context(|| format!("make sparse files ({form})"))?;
        let archive = scratch.path().join(format!("{form}.tar"));
        let mut tar = Command::new("tar");
        tar.args(arguments).arg("--sparse").arg("-cf").arg(&archive);
        tar.arg("-C").arg(&tree).arg(".");
        let output = tar.output().context("start tar")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{tar:?}: {said}");
        let tar = fs::read(&archive).with_context(|| format!("read {archive:?}"))?;
        // What is not sparse in the archive would be gigabytes, in memory too.
        ensure!(tar.len() < 1 << 24, "{form}: tar has not found the holes");
        Ok((Compression::None, tar))
    };
    forms.iter().map(layer).collect()
}

/// Files with holes, one a little larger than `huge`.
fn sparse_files(root: &Path, huge: u64) -> Result<()> {
    fs::create_dir_all(root)?;
    let make = |name: &str, size: u64, pieces: &[(u64, &[u8])]| -> Result<()> {
        let file = File::create(root.join(name))?;
        file.set_len(size)?;
        for (offset, bytes) in pieces {
            file.write_all_at(bytes, *offset)?;
        }
        Ok(())
    };
    make("all-hole", 1 << 20, &[])?;
    make("start", 1 << 20, &[(0, &[1; 5000])])?;
    make("end", (1 << 20) + 7, &[(1 << 20, &[2; 7])])?;
    let many: Vec<(u64, &[u8])> = (0..100).map(|n| (n * 70_000, &b"piece"[..])).collect();
    make("many", 8 << 20, &many)?;
    let end = huge + 100_000;
    make(
        "huge",
        end + 3,
        &[(1, b"a"), (huge - 2, &[3; 9000]), (end, b"end")],
    )
}

#[cfg(test)]
mod tests;
