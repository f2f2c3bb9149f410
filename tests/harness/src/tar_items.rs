//! Tar streams by the byte: names of any length in any bytes, times before 1970 and in parts of a second, large owners. For
//! trees that shall have everything there is; ordinary images are made with [`crate::image::Layer`].
//!
//! Main types: [`Item`], one entry, and [`tar()`], a stream of them.

use tar::{EntryType, Header};

/// One tar entry; nothing of it is checked, and names are bytes.
#[derive(Clone, Debug)]
pub struct Item {
    pub path: Vec<u8>,
    pub kind: Kind,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970, and nanoseconds.
    pub mtime: (i64, u32),
    pub xattrs: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Debug)]
pub enum Kind {
    File(Vec<u8>),
    Directory,
    Symlink(Vec<u8>),
    HardLink(Vec<u8>),
    /// Major and minor number.
    Char(u32, u32),
    Block(u32, u32),
    Fifo,
}

/// An entry with ordinary metadata.
pub fn item(path: impl AsRef<[u8]>, kind: Kind) -> Item {
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

pub fn file(path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Item {
    item(path, Kind::File(content.as_ref().to_vec()))
}

pub fn folder(path: impl AsRef<[u8]>) -> Item {
    item(path, Kind::Directory)
}

/// A whole tar stream with its end.
pub fn tar(items: &[Item]) -> Vec<u8> {
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
        // Only a header of the oldest form has no place for them, and this one is a ustar header.
        header
            .set_device_major(major)
            .expect("a ustar header has device numbers");
        header
            .set_device_minor(minor)
            .expect("a ustar header has device numbers");
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
fn record(out: &mut Vec<u8>, key: &str, value: &[u8]) {
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
pub fn write_entry(
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
