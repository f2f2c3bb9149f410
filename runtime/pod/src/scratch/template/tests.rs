//! Right templates become disks, wrong ones errors.

use std::{io::Write, os::unix::fs::MetadataExt};

use super::*;

const MIB: u64 = 1 << 20;

fn template(size: u64, extents: &[(u64, u32)]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(size.to_le_bytes());
    for (number, (offset, length)) in (1..).zip(extents) {
        bytes.extend(offset.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.extend(std::iter::repeat_n(
            number,
            usize::try_from(*length).unwrap(),
        ));
    }
    bytes
}

fn copied(template: &[u8]) -> Result<File, TemplateError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(template).unwrap();
    let disk = tempfile::tempfile().unwrap();
    let size = copy(file.path(), &disk)?;
    assert_eq!(disk.metadata().unwrap().len(), size);
    Ok(disk)
}

#[test]
fn template_becomes_a_disk_with_holes() {
    let disk = copied(&template(64 * MIB, &[(0, 4096), (16 * MIB, 8192)])).unwrap();
    let at = |offset| {
        let mut byte = [9];
        disk.read_exact_at(&mut byte, offset).unwrap();
        byte[0]
    };
    let bytes = [0, 4095, 4096, 16 * MIB, 16 * MIB + 8191, 16 * MIB + 8192];
    assert_eq!(bytes.map(at), [1, 1, 0, 2, 2, 0]);
    assert!(disk.metadata().unwrap().blocks() * 512 < MIB);
    // One without content is a disk of zeros.
    copied(&template(4096, &[])).unwrap();
}

#[test]
fn template_that_is_not_right_is_refused() {
    let refused = |bytes: &[u8]| copied(bytes).map(drop).unwrap_err().to_string();
    assert!(refused(b"CFDISK").contains("read its head"));
    assert!(refused(&[0; 64]).contains("no template"));
    for size in [0, 4097, MAX_DISK_BYTES + 4096] {
        assert!(
            refused(&template(size, &[])).contains("its disk has"),
            "{size}"
        );
    }
    let wrong: [&[(u64, u32)]; 6] = [
        &[(0, 0)],
        &[(1, 4096)],
        &[(0, 4095)],
        &[(MIB, 4096)],
        &[(8192, 4096), (4096, 4096)],
        &[(0, 2 * MAX_EXTENT_BYTES)],
    ];
    for extents in wrong {
        assert!(
            refused(&template(MIB, extents)).contains("extent"),
            "{extents:?}"
        );
    }
    // Cut off in an extent and in its head.
    let whole = template(MIB, &[(0, 4096)]);
    assert!(refused(&whole[..whole.len() - 1]).contains("read an extent"));
    assert!(refused(&whole[..20]).contains("head of an extent"));
}
