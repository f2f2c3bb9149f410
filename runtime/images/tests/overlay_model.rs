//! Random stacks of layers against a model of overlay semantics, read by erofs-rs.
//!
//! The model is a map from paths to files and knows nothing of trees, blobs or EROFS. erofs-rs is a
//! reader that we did not write. Layer blobs and merged devices are read.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::excessive_nesting,
    dead_code,
    reason = "a test; clippy sees tests only in functions marked as such"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use erofs_rs::backend::SliceImage;
use erofs_rs::{EroFS, types::Inode};
use harness::tar_items::{self, Item, Kind, file, folder, item};
use images::Store;
use proptest::prelude::*;

#[path = "../src/archive.rs"]
mod archive;

/// What a file is, as text that two sides can be compared by.
type Seen = BTreeMap<String, String>;

/// One random change; those that make no sense where they come are left out.
#[derive(Clone, Debug)]
struct Step {
    path: Vec<u8>,
    what: What,
    number: u32,
}

#[derive(Clone, Debug)]
enum What {
    File,
    Folder,
    Symlink,
    Device,
    Pipe,
    /// Another name for the n-th file of the layer.
    Link,
    Whiteout,
    Opaque,
}

fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![
        4 => Just(What::File),
        3 => Just(What::Folder),
        1 => Just(What::Symlink),
        1 => Just(What::Device),
        1 => Just(What::Pipe),
        2 => Just(What::Link),
        2 => Just(What::Whiteout),
        1 => Just(What::Opaque),
    ];
    let path = prop::collection::vec(0..4_u8, 1..4);
    (path, what, any::<u32>()).prop_map(|(path, what, number)| Step { path, what, number })
}

/// Names of all lengths and bytes, few enough to meet again in other layers.
fn path_of(numbers: &[u8]) -> String {
    let long = "long-name-".repeat(25);
    let names = ["a", "-", "é日", &long];
    let names: Vec<_> = numbers
        .iter()
        .map(|number| names[usize::from(*number)])
        .collect();
    names.join("/")
}

fn parents(path: &str) -> Vec<String> {
    path.match_indices('/')
        .map(|(end, _)| path[..end].to_owned())
        .collect()
}

/// One layer, with what is in it by path.
#[derive(Default)]
struct Layer {
    items: Vec<Item>,
    entries: BTreeMap<String, Entry>,
    whiteouts: Vec<String>,
    opaques: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    text: String,
    folder: bool,
    /// No entry of the layer describes it.
    implied: bool,
    /// Equal for names of one file.
    inode: (usize, String),
}

impl Layer {
    fn build(number: usize, steps: &[Step]) -> Self {
        let mut layer = Self::default();
        for step in steps {
            layer.step(number, step);
        }
        layer
    }

    fn step(&mut self, layer: usize, step: &Step) {
        let path = path_of(&step.path);
        let is_file = |entries: &BTreeMap<String, Entry>, path: &String| {
            entries.get(path).is_some_and(|entry| !entry.folder)
        };
        if parents(&path)
            .iter()
            .any(|parent| is_file(&self.entries, parent))
        {
            return;
        }
        let marker = matches!(step.what, What::Whiteout | What::Opaque);
        let known = self.entries.get(&path);
        let again = matches!(step.what, What::Folder) && known.is_some_and(|known| known.folder);
        if known.is_some() && !marker && !again {
            return;
        }
        match step.what {
            What::Whiteout => self.whiteout(layer, path),
            What::Opaque if is_file(&self.entries, &path) => {}
            What::Opaque => self.opaque(layer, path),
            What::Link => self.link(layer, path, step.number as usize),
            _ => {
                let entry = described(&path, step);
                let folder = matches!(entry.kind, Kind::Directory);
                let inode = (layer, path.clone());
                let text = text_of(&entry);
                self.add(
                    layer,
                    path,
                    entry,
                    Entry {
                        text,
                        folder,
                        implied: false,
                        inode,
                    },
                );
            }
        }
    }

    fn add(&mut self, layer: usize, path: String, item: Item, entry: Entry) {
        self.imply(layer, &parents(&path));
        self.entries.insert(path, entry);
        self.items.push(item);
    }

    fn whiteout(&mut self, layer: usize, path: String) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        self.items.push(file(format!("{parent}/.wh.{name}"), ""));
        self.imply(layer, &parents(&path));
        self.whiteouts.push(path);
    }

    fn opaque(&mut self, layer: usize, path: String) {
        self.items.push(file(format!("{path}/.wh..wh..opq"), ""));
        self.imply(layer, &parents(&path));
        self.imply(layer, std::slice::from_ref(&path));
        self.opaques.push(path);
    }

    fn link(&mut self, layer: usize, path: String, number: usize) {
        let files: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.folder)
            .collect();
        if files.is_empty() {
            return;
        }
        let (target, found) = files[number % files.len()];
        let link = item(&path, Kind::HardLink(target.clone().into_bytes()));
        let entry = found.clone();
        self.add(layer, path, link, entry);
    }

    fn imply(&mut self, layer: usize, paths: &[String]) {
        for path in paths {
            self.entries.entry(path.clone()).or_insert_with(|| Entry {
                text: text_of(&Item {
                    mtime: (0, 0),
                    ..folder("")
                }),
                folder: true,
                implied: true,
                inode: (layer, path.clone()),
            });
        }
    }

    /// Lays this layer over what lower ones left.
    fn apply(&self, state: &mut BTreeMap<String, Entry>) {
        let below = |path: &str, other: &str| {
            other
                .strip_prefix(path)
                .is_some_and(|rest| rest.starts_with('/'))
        };
        for path in &self.whiteouts {
            state.retain(|other, _| other != path && !below(path, other));
        }
        for path in &self.opaques {
            state.retain(|other, _| !below(path, other));
        }
        for (path, entry) in &self.entries {
            let folder_below = state.get(path).is_some_and(|known| known.folder);
            if entry.folder && folder_below && entry.implied {
                continue;
            }
            if !(entry.folder && folder_below) {
                state.retain(|other, _| !below(path, other));
            }
            state.insert(path.clone(), entry.clone());
        }
    }
}

fn described(path: &str, step: &Step) -> Item {
    let number = step.number;
    let kind = match step.what {
        What::File => {
            let sizes = [0, 1, 100, 4095, 4096, 4097, 20_000];
            let size = sizes[number as usize % sizes.len()];
            Kind::File(
                (0..size)
                    .map(|n| u8::try_from((n + number) % 253).unwrap())
                    .collect(),
            )
        }
        What::Symlink => {
            let lengths = [1, 100, 2000, 4000];
            Kind::Symlink(vec![b't'; lengths[number as usize % lengths.len()]])
        }
        What::Device => Kind::Char(1 + number % 4000, number % 1_000_000),
        What::Pipe => Kind::Fifo,
        _ => Kind::Directory,
    };
    let xattrs = (0..number % 3).map(|n| {
        let value = vec![b'v'; (number % 3001) as usize];
        (format!("user.{n}"), value)
    });
    Item {
        mode: number % 0o7777,
        uid: number / 3,
        gid: number % 70_000,
        mtime: (i64::from(number) - 1_000_000_000, number % 1_000_000_000),
        xattrs: xattrs.collect(),
        ..item(path, kind)
    }
}

/// The same words for an entry of an archive …
fn text_of(item: &Item) -> String {
    let content = match &item.kind {
        Kind::File(content) => format!("file {}", archive::sha256(content)),
        Kind::Directory => "folder".to_owned(),
        Kind::Symlink(target) => format!("link to {}", target.escape_ascii()),
        Kind::Char(major, minor) => format!("device {major}:{minor}"),
        _ => "pipe".to_owned(),
    };
    let xattrs: BTreeMap<_, _> = item
        .xattrs
        .iter()
        .map(|(name, value)| (name.clone().into_bytes(), value.clone()))
        .collect();
    let (mode, uid, gid, mtime) = (item.mode, item.uid, item.gid, item.mtime);
    format!(
        "{content} {mode:o} {uid}:{gid} {mtime:?} {}",
        text_of_xattrs(&xattrs)
    )
}

/// … and for an inode that erofs-rs has read.
fn text_of_inode(fs: &EroFS<SliceImage<'_>>, inode: Inode) -> String {
    let mode = inode.permissions().mode();
    let (uid, gid, mtime) = (inode.uid(), inode.gid(), inode.modified_unix());
    let xattrs = text_of_xattrs(&fs.xattrs_inode(inode).unwrap());
    let content = if inode.is_file() {
        let mut content = Vec::new();
        fs.open_inode_file(inode)
            .unwrap()
            .read_to_end(&mut content)
            .unwrap();
        format!("file {}", archive::sha256(&content))
    } else if inode.is_symlink() {
        let target = fs.read_link_inode(inode).unwrap();
        format!("link to {}", target.as_bytes().escape_ascii())
    } else if inode.is_dir() {
        "folder".to_owned()
    } else if let Some((major, minor)) = inode.device() {
        format!("device {major}:{minor}")
    } else {
        "pipe".to_owned()
    };
    format!("{content} {mode:o} {uid}:{gid} {mtime:?} {xattrs}")
}

fn text_of_xattrs(xattrs: &BTreeMap<Vec<u8>, Vec<u8>>) -> String {
    let texts = xattrs
        .iter()
        .map(|(name, value)| format!("{}={}", name.escape_ascii(), archive::sha256(value)));
    texts.collect::<Vec<_>>().join(",")
}

/// Reads metadata and the files in its device table with erofs-rs: every file, and which names belong together.
fn read(metadata: &[u8], parts: &[Vec<u8>]) -> (Seen, BTreeSet<BTreeSet<String>>) {
    let fs = EroFS::new_with_devices(
        SliceImage::new(metadata),
        parts.iter().map(|part| SliceImage::new(part)).collect(),
    )
    .unwrap();
    let mut seen = Seen::new();
    let mut names: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    let mut links = BTreeMap::new();
    for entry in fs.walk_dir("/").unwrap() {
        let entry = entry.unwrap();
        let path = String::from_utf8(entry.dir_entry.path().as_bytes().to_vec()).unwrap();
        let path = path.trim_start_matches('/').to_owned();
        if !entry.inode.is_dir() {
            names
                .entry(entry.inode.id())
                .or_default()
                .insert(path.clone());
            links.insert(entry.inode.id(), entry.inode.nlink());
        }
        let twice = seen.insert(path, text_of_inode(&fs, entry.inode));
        assert!(twice.is_none());
    }
    for (id, names) in &names {
        assert_eq!(links[id] as usize, names.len(), "link count of {names:?}");
    }
    (seen, names.into_values().collect())
}

/// Metadata and what stands behind it on the device.
fn device(store: &Store, image: &images::Image) -> (Vec<u8>, Vec<Vec<u8>>) {
    let rootfs = store.open_rootfs(image).unwrap();
    let mut segments = rootfs.segments.into_iter().map(|mut segment| {
        let mut bytes = Vec::new();
        segment.file.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let metadata = segments.next().unwrap();
    let parts: Vec<_> = segments.collect();
    let size = metadata.len() + parts.iter().map(Vec::len).sum::<usize>();
    assert_eq!(size as u64, rootfs.size);
    (metadata, parts)
}

fn check(stack: &[Vec<Step>]) {
    let folder = tempfile::tempdir().unwrap();
    let layers = stack
        .iter()
        .enumerate()
        .map(|(number, steps)| Layer::build(number, steps));
    let layers: Vec<_> = layers.collect();
    let packed: Vec<_> = layers
        .iter()
        .map(|layer| archive::plain(tar_items::tar(&layer.items)))
        .collect();
    let layout = folder.path().join("layout");
    archive::layout(&layout, &packed);
    let store = Store::open(&folder.path().join("store")).unwrap();
    let image = store.import(&layout, None, &mut |_| {}).unwrap();
    let (metadata, parts) = device(&store, &image);
    let (seen, names) = read(&metadata, &parts);

    let mut state = BTreeMap::new();
    layers.iter().for_each(|layer| layer.apply(&mut state));
    let expect: Seen = state
        .iter()
        .map(|(path, entry)| (path.clone(), entry.text.clone()))
        .collect();
    assert_eq!(seen, expect);
    let mut groups: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for (path, entry) in state.iter().filter(|(_, entry)| !entry.folder) {
        groups
            .entry(entry.inode.clone())
            .or_default()
            .insert(path.clone());
    }
    assert_eq!(names, groups.into_values().collect());
    for blob in blobs(store.root()) {
        read(&blob, &[]);
    }
}

/// Every layer's blob is a whole EROFS by itself.
fn blobs(root: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(root.join("blobs/sha256")).unwrap();
    entries
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_stacks_equal_the_model(
        stack in prop::collection::vec(prop::collection::vec(step(), 0..25), 1..5)
    ) {
        check(&stack);
    }
}
