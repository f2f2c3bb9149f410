//! The tables as a guest walks them.

use std::{collections::BTreeMap, fs, process::Command};

use super::{AcpiError, build, dsdt};
use crate::memory::{ACPI_TABLES, Layout};

fn built(processors: u32) -> Vec<u8> {
    build(&Layout::new(1 << 30).unwrap(), processors).unwrap()
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn table(bytes: &[u8], address: u64) -> (String, Vec<u8>) {
    let at = usize::try_from(address - ACPI_TABLES.start).unwrap();
    assert_eq!(at % 16, 0);
    let length = usize::try_from(word(bytes, at + 4)).unwrap();
    let table = bytes[at..at + length].to_vec();
    let name = String::from_utf8(table[..4].to_vec()).unwrap();
    assert_eq!(sum(&table), 0, "checksum of {name}");
    (name, table)
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// All tables that can be reached from the RSDP.
fn walk(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    assert_eq!(&bytes[..8], b"RSD PTR ");
    assert_eq!((sum(&bytes[..20]), sum(&bytes[..36])), (0, 0));
    let (_, root) = table(bytes, long(bytes, 24));
    let mut tables: BTreeMap<_, _> = root[36..]
        .chunks(8)
        .map(|entry| table(bytes, long(entry, 0)))
        .collect();
    let (name, definition) = table(bytes, long(&tables["FACP"], 140));
    tables.insert(name, definition);
    tables
}

#[test]
fn tables_are_reached_from_the_root_with_right_checksums() {
    let tables = walk(&built(4));
    let names: Vec<_> = tables.keys().map(String::as_str).collect();
    assert_eq!(names, ["APIC", "DSDT", "FACP", "MCFG"]);
    let fixed = &tables["FACP"];
    assert_ne!(word(fixed, 112) & 1 << 20, 0, "hardware-reduced");
    assert_eq!((fixed[116], long(fixed, 120), fixed[128]), (1, 0x602, 1));
    assert_eq!(long(fixed, 248), 0x600);
    assert_eq!(long(fixed, 260), 0x601);
    assert_eq!(long(&tables["MCFG"], 44), 0xe000_0000);
}

#[test]
fn processors_all_have_an_entry_up_to_255() {
    for processors in [1_u32, 4, 255] {
        let tables = walk(&built(processors));
        let entries = &tables["APIC"][44..];
        let (local, io) = entries.split_at(entries.len() - 12);
        for (id, entry) in (0..=u8::MAX).zip(local.chunks(8)) {
            assert_eq!(entry, [0, 8, id, id, 1, 0, 0, 0]);
        }
        assert_eq!(local.len(), usize::try_from(processors).unwrap() * 8);
        assert_eq!(io, [1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
    }
    let error = build(&Layout::new(1 << 30).unwrap(), 257).unwrap_err();
    assert!(matches!(error, AcpiError::Processors { processors: 257 }));
}

#[test]
fn definition_names_the_devices_that_drivers_look_for() {
    let definition = dsdt::aml(&Layout::new(8 << 30).unwrap());
    let has = |text: &[u8]| definition.windows(text.len()).any(|window| window == text);
    for name in [
        "VMGENCTR",
        "VM_Gen_Counter",
        "ACPI0013",
        "QEMU0001",
        "_OSC",
        "_EVT",
        "_S5_",
        "ADDR",
    ] {
        assert!(has(name.as_bytes()), "{name}");
    }
    assert!(has(&(9_u64 << 30).to_le_bytes()), "the 64-bit window");
}

#[test]
fn definition_is_understood_by_iasl() {
    if Command::new("iasl").arg("-v").output().is_err() {
        println!("skip definition_is_understood_by_iasl: iasl is not installed (acpica-tools)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dsdt.aml");
    fs::write(&path, &walk(&built(2))["DSDT"]).unwrap();
    let source = folder.path().join("dsdt.dsl");
    for arguments in [
        ["-d", path.to_str().unwrap()],
        ["-we", source.to_str().unwrap()],
    ] {
        let output = Command::new("iasl").args(arguments).output().unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
    let text = fs::read_to_string(source).unwrap();
    for line in [
        "Device (_SB.PCI0)",
        "Notify (\\_SB.VGEN, 0x80)",
        "Method (_OSC, 4",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}
