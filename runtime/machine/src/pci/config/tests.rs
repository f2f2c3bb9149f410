//! Configuration space as a driver sees it.

use super::{COMMAND, CapabilityError, ConfigSpace, Identity};
use crate::pci::{Bar, BarChange, BarError, BarSpec, BarWidth};

const IDENTITY: Identity = Identity {
    vendor: 0x1af4,
    device: 0x1042,
    revision: 1,
    class: [0x01, 0x80, 0x02],
    subsystem_vendor: 0x1af4,
    subsystem: 0x40,
};

fn with_bars(specs: &[(u8, u64, BarWidth)]) -> Result<ConfigSpace, BarError> {
    let mut config = ConfigSpace::new(&IDENTITY);
    for (bar, size, width) in specs {
        config.add_bar(BarSpec {
            bar: Bar(*bar),
            size: *size,
            width: *width,
        })?;
    }
    Ok(config)
}

fn double_word(config: &ConfigSpace, offset: u16) -> u32 {
    let mut data = [0; 4];
    config.read(offset, &mut data);
    u32::from_le_bytes(data)
}

#[test]
fn config_of_identity_reads_as_the_header_says() {
    let config = ConfigSpace::new(&IDENTITY);
    for (offset, expect) in [
        (0x00, 0x1042_1af4),
        (0x04, 0),
        (0x08, 0x0180_0201),
        (0x0c, 0),
        (0x2c, 0x0040_1af4),
        (0x34, 0),
        (0x3c, 0),
        (0x100, u32::MAX),
        (0xfff, u32::MAX),
    ] {
        assert_eq!(double_word(&config, offset), expect, "{offset:#x}");
    }
    let mut across = [0; 4];
    config.read(0xfe, &mut across);
    assert_eq!(across, [0, 0, 0xff, 0xff]);
}

#[test]
fn config_written_everywhere_changes_only_what_it_may() {
    let mut config = with_bars(&[(0, 4096, BarWidth::Bits32)]).unwrap();
    for offset in 0..0x1000 {
        config.write(offset, &[0xff]);
    }
    for (offset, expect) in [
        (0x00, 0x1042_1af4),
        (0x04, 0x0000_0406),
        (0x0c, 0x0000_00ff),
        (0x10, 0xffff_f000),
        (0x14, 0),
        (0x3c, 0x0000_00ff),
    ] {
        assert_eq!(double_word(&config, offset), expect, "{offset:#x}");
    }
}

#[test]
fn bar_written_with_ones_reads_its_size_and_kind() {
    let cases = [
        (BarWidth::Bits32, 0x4000, [0xffff_c000, 0]),
        (BarWidth::Bits64, 0x4000, [0xffff_c004, 0xffff_ffff]),
        (BarWidth::Bits64Prefetchable, 1 << 33, [0xc, 0xffff_fffe]),
    ];
    for (width, size, expect) in cases {
        let mut config = with_bars(&[(2, size, width)]).unwrap();
        config.write(0x18, &[0xff; 4]);
        config.write(0x1c, &[0xff; 4]);
        let read = [double_word(&config, 0x18), double_word(&config, 0x1c)];
        assert_eq!(read, expect, "{width:?}");
    }
}

#[test]
fn bar_that_cannot_be_is_refused() {
    let wide = BarWidth::Bits64;
    for (specs, expect) in [
        (
            vec![(6, 4096, BarWidth::Bits32)],
            BarError::NoRegister { bar: 6 },
        ),
        (vec![(5, 4096, wide)], BarError::NoRegister { bar: 5 }),
        (vec![(0, 2048, wide)], BarError::Size { bar: 0, size: 2048 }),
        (vec![(0, 5000, wide)], BarError::Size { bar: 0, size: 5000 }),
        (
            vec![(0, 1 << 32, BarWidth::Bits32)],
            BarError::Size {
                bar: 0,
                size: 1 << 32,
            },
        ),
        (
            vec![(0, 4096, wide), (1, 4096, wide)],
            BarError::Taken { bar: 1 },
        ),
    ] {
        assert_eq!(with_bars(&specs).unwrap_err(), expect);
    }
}

#[test]
fn bar_moves_when_decoding_goes_on_elsewhere_and_off() {
    let mut config = with_bars(&[(0, 4096, BarWidth::Bits64)]).unwrap();
    let change = |from, to| {
        vec![BarChange {
            bar: Bar(0),
            from,
            to,
        }]
    };
    assert_eq!(config.write(0x10, &0xc000_0000_u32.to_le_bytes()), []);
    assert_eq!(
        config.write(COMMAND, &[2, 0]),
        change(None, Some(0xc000_0000))
    );
    assert_eq!(config.bars(), [(Bar(0), 4096, Some(0xc000_0000))]);
    assert_eq!(
        config.write(0x14, &[1, 0, 0, 0]),
        change(Some(0xc000_0000), Some(0x1_c000_0000))
    );
    assert_eq!(config.write(COMMAND, &[2, 4]), [], "INTx off moves nothing");
    assert_eq!(config.write(0x3c, &[9]), []);
    assert_eq!(
        config.write(COMMAND, &[4]),
        change(Some(0x1_c000_0000), None)
    );
    assert!(config.bus_master());
}

#[test]
fn capabilities_are_linked_until_full() {
    let mut config = ConfigSpace::new(&IDENTITY);
    let first = config.add_capability(0x11, &[1; 10], &[0xff]).unwrap();
    let second = config.add_capability(0x09, &[2; 14], &[]).unwrap();
    assert_eq!((first, second), (0x40, 0x4c));
    assert_eq!(config.word(0x34), 0x40);
    assert_eq!(config.word(0x06), 0x10);
    assert_eq!(config.word(0x40), 0x4c11);
    assert_eq!(config.word(0x4c), 0x0009);
    config.write(0x42, &[0xaa, 0xaa]);
    assert_eq!(config.word(0x42), 0x01aa);

    let full = config.add_capability(0x09, &[0; 200], &[]);
    assert_eq!(full, Err(CapabilityError::Full { id: 9 }));
    assert_eq!(config.word(0x4c), 0x0009, "the list ends where it did");
}
