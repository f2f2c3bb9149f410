//! Makes tar streams and image archives for the tests, of this crate's parts and of the whole.
//!
//! Main types: [`Item`] (one tar entry) and [`Packed`] (one layer). Compiled for tests only; the
//! integration tests include this file by path, so it uses nothing of the crate.

use std::fs;
use std::io::Write;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: (i64, u32),
    pub(crate) xattrs: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    File(Vec<u8>),
    Directory,
    Symlink(Vec<u8>),
    HardLink(Vec<u8>),
    Char(u32, u32),
    Block(u32, u32),
    Fifo,
}

/// An entry with ordinary metadata.
pub(crate) fn item(path: impl AsRef<[u8]>, kind: Kind) -> Item {
    let mode = if matches!(kind, Kind::Directory) {
        0o755
    } else {
        0o644
    };
    let path = path.as_ref().to_vec();
    Item {
        path,
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: (1_700_000_000, 0),
        xattrs: Vec::new(),
    }
}

pub(crate) fn file(path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Item {
    item(path, Kind::File(content.as_ref().to_vec()))
}

pub(crate) fn folder(path: impl AsRef<[u8]>) -> Item {
    item(path, Kind::Directory)
}

/// A whole tar stream with its end.
pub(crate) fn tar(items: &[Item]) -> Vec<u8> {
    let mut out = Vec::new();
    for item in items {
        append(&mut out, item);
    }
    out.extend_from_slice(&[0; 1024]);
    out
}

fn append(out: &mut Vec<u8>, item: &Item) {
    let (entry_type, link, content) = match &item.kind {
        Kind::File(content) => (EntryType::Regular, &b""[..], content.as_slice()),
        Kind::Directory => (EntryType::Directory, &b""[..], &b""[..]),
        Kind::Symlink(target) => (EntryType::Symlink, target.as_slice(), &b""[..]),
        Kind::HardLink(target) => (EntryType::Link, target.as_slice(), &b""[..]),
        Kind::Char(..) => (EntryType::Char, &b""[..], &b""[..]),
        Kind::Block(..) => (EntryType::Block, &b""[..], &b""[..]),
        Kind::Fifo => (EntryType::Fifo, &b""[..], &b""[..]),
    };
    let records = records(item, link);
    if !records.is_empty() {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        write_entry(out, &mut header, b"pax", b"", &records);
    }
    let mut header = Header::new_ustar();
    header.set_entry_type(entry_type);
    header.set_mode(item.mode);
    header.set_uid(item.uid.min(0o777_7777).into());
    header.set_gid(item.gid.min(0o777_7777).into());
    header.set_mtime(u64::try_from(item.mtime.0).unwrap_or(0));
    if let Kind::Char(major, minor) | Kind::Block(major, minor) = item.kind {
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
    }
    write_entry(out, &mut header, &item.path, link, content);
}

fn records(item: &Item, link: &[u8]) -> Vec<u8> {
    let mut records = Vec::new();
    if item.path.len() > 99 {
        record(&mut records, "path", &item.path);
    }
    if link.len() > 99 {
        record(&mut records, "linkpath", link);
    }
    if item.uid > 0o777_7777 {
        record(&mut records, "uid", item.uid.to_string().as_bytes());
    }
    if item.gid > 0o777_7777 {
        record(&mut records, "gid", item.gid.to_string().as_bytes());
    }
    let (seconds, nanoseconds) = item.mtime;
    if seconds < 0 || nanoseconds > 0 {
        let text = if seconds < 0 && nanoseconds > 0 {
            format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds)
        } else {
            format!("{seconds}.{nanoseconds:09}")
        };
        record(&mut records, "mtime", text.as_bytes());
    }
    for (name, value) in &item.xattrs {
        record(&mut records, &format!("SCHILY.xattr.{name}"), value);
    }
    records
}

/// One PAX record; its length counts its own digits.
pub(crate) fn record(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length.to_string().len() + rest != length {
        length = length.to_string().len() + rest;
    }
    out.extend_from_slice(format!("{length} {key}=").as_bytes());
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// One header with its data, padded.
pub(crate) fn write_entry(
    out: &mut Vec<u8>,
    header: &mut Header,
    path: &[u8],
    link: &[u8],
    content: &[u8],
) {
    let name = &path[..path.len().min(100)];
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    let link = &link[..link.len().min(100)];
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_size(content.len() as u64);
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(512), 0);
}

/// A layer as it stands in an archive.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: &'static str,
    pub(crate) diff_id: String,
}

pub(crate) fn plain(tar: Vec<u8>) -> Packed {
    let media_type = "application/vnd.oci.image.layer.v1.tar";
    Packed {
        media_type,
        diff_id: sha256(&tar),
        bytes: tar,
    }
}

pub(crate) fn gzip(tar: &[u8]) -> Packed {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(tar).unwrap();
    let bytes = encoder.finish().unwrap();
    let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    Packed {
        bytes,
        media_type,
        diff_id: sha256(tar),
    }
}

pub(crate) fn zstandard(tar: &[u8]) -> Packed {
    let bytes = zstd::encode_all(tar, 1).unwrap();
    let media_type = "application/vnd.oci.image.layer.v1.tar+zstd";
    Packed {
        bytes,
        media_type,
        diff_id: sha256(tar),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

/// An image configuration for these layers.
pub(crate) fn config(architecture: &str, layers: &[Packed]) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
    let config = serde_json::json!({
        "created": "2026-01-02T03:04:05Z",
        "architecture": architecture,
        "os": "linux",
        "config": { "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"], "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    serde_json::to_vec(&config).unwrap()
}

/// Puts a blob into a layout and gives its descriptor.
pub(crate) fn blob(layout: &Path, media_type: &str, bytes: &[u8]) -> serde_json::Value {
    let digest = sha256(bytes);
    let folder = layout.join("blobs/sha256");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(&digest["sha256:".len()..]), bytes).unwrap();
    serde_json::json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
}

/// Puts an image's blobs into a layout and gives its manifest's descriptor.
pub(crate) fn manifest(layout: &Path, architecture: &str, layers: &[Packed]) -> serde_json::Value {
    let config = config(architecture, layers);
    let config = blob(layout, "application/vnd.oci.image.config.v1+json", &config);
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| blob(layout, layer.media_type, &layer.bytes))
        .collect();
    let manifest = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": layers });
    let bytes = serde_json::to_vec(&manifest).unwrap();
    blob(layout, "application/vnd.oci.image.manifest.v1+json", &bytes)
}

/// Finishes a layout with these descriptors in `index.json`.
pub(crate) fn index(layout: &Path, manifests: &[serde_json::Value]) {
    fs::create_dir_all(layout).unwrap();
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": manifests });
    fs::write(
        layout.join("index.json"),
        serde_json::to_vec(&index).unwrap(),
    )
    .unwrap();
}

/// An OCI layout folder with one image.
pub(crate) fn layout(folder: &Path, layers: &[Packed]) {
    let manifest = manifest(folder, "amd64", layers);
    index(folder, &[manifest]);
}
