//! The guest image of a small program, and of files that are none.

use std::fs;

use super::*;

/// A 64-bit ELF header with one program header of `kind`.
fn elf(kind: u32) -> Vec<u8> {
    let mut bytes = vec![0; 64 + 56];
    bytes[..5].copy_from_slice(b"\x7fELF\x02");
    bytes[32] = 64;
    bytes[54] = 56;
    bytes[56] = 1;
    bytes[64..68].copy_from_slice(&kind.to_le_bytes());
    bytes
}

fn image_of(agent: &[u8]) -> Result<Vec<u8>, ImageError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent");
    fs::write(&path, agent).unwrap();
    write_guest_image(&path, Vec::new())
}

#[test]
fn image_holds_agent_as_init_and_mount_points() {
    let image = image_of(&elf(1)).unwrap();
    let text = String::from_utf8_lossy(&image);
    for name in [
        "dev\0",
        "dev/console\0",
        "proc\0",
        "run\0",
        "sys\0",
        "tmp\0",
        "init\0",
    ] {
        assert!(text.contains(name), "{name:?}");
    }
    assert!(image.windows(120).any(|window| window == elf(1)));
    assert_eq!(image, image_of(&elf(1)).unwrap());
}

#[test]
fn image_of_dynamic_program_is_refused() {
    assert!(matches!(
        image_of(&elf(3)),
        Err(ImageError::NotStatic { .. })
    ));
}

#[test]
fn image_of_what_is_no_program_is_refused() {
    for bytes in [&b""[..], b"#!/bin/sh\n", &elf(1)[..80]] {
        assert!(
            matches!(image_of(bytes), Err(ImageError::NotStatic { .. })),
            "{bytes:?}"
        );
    }
}

#[test]
fn image_of_missing_agent_names_it() {
    let error = write_guest_image(Path::new("/no/agent"), Vec::new()).unwrap_err();
    assert!(error.to_string().contains("/no/agent"));
}
