//! What the capabilities say, and where offsets lead.

use machine::pci::Identity;

use super::*;

fn config() -> ConfigSpace {
    ConfigSpace::new(&Identity {
        vendor: 0x1af4,
        device: 0x1042,
        revision: 1,
        class: [1, 0x80, 0],
        subsystem_vendor: 0x1af4,
        subsystem: 0x40,
    })
}

#[test]
fn capabilities_added_name_their_windows() {
    let mut config = config();
    add(&mut config, 3).expect("there is room");
    let mut found = Vec::new();
    let mut next = [0];
    config.read(0x34, &mut next);
    while next[0] != 0 {
        let mut bytes = [0; 20];
        config.read(next[0].into(), &mut bytes);
        let place = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        let length = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
        found.push((bytes[0], bytes[2], bytes[3], bytes[4], place, length));
        if bytes[3] == 2 {
            assert_eq!(bytes[16..], [4, 0, 0, 0]);
        }
        next = [bytes[1]];
    }
    let expected = [
        (9, 16, 1, 0, 0x0000, 56),
        (9, 16, 3, 0, 0x1000, 1),
        (9, 16, 4, 0, 0x2000, 0x1000),
        (9, 20, 2, 0, 0x3000, 12),
        (9, 20, 5, 0, 0, 0),
    ];
    assert_eq!(found, expected);
}

#[test]
fn offset_into_the_bar_leads_to_its_window() {
    for (offset, expected) in [
        (0, Some((Window::Common, 0))),
        (0xfff, Some((Window::Common, 0xfff))),
        (0x1000, Some((Window::Isr, 0))),
        (0x2010, Some((Window::Device, 0x10))),
        (0x3004, Some((Window::Notify, 4))),
        (0x4000, Some((Window::MsixTable, 0))),
        (0x5008, Some((Window::MsixPending, 8))),
        (0x6000, None),
        (0x7fff, None),
        (u64::MAX, None),
    ] {
        assert_eq!(find(offset), expected, "{offset:#x}");
    }
    assert_eq!(find(doorbell(2)), Some((Window::Notify, 8)));
    assert_eq!(rung(8), Some(2));
}

#[test]
fn access_through_configuration_space_goes_only_where_it_may() {
    let mut config = config();
    let access = add(&mut config, 1).expect("there is room");
    let start = access.data() - 16;
    for (bar, offset, length, expected) in [
        (0_u8, 0x14_u32, 1_u32, Some((0x14, 1))),
        (0, 0x18, 2, Some((0x18, 2))),
        (0, 0x3000, 4, Some((0x3000, 4))),
        (0, 0x7ffc, 4, Some((0x7ffc, 4))),
        (1, 0x14, 1, None),
        (0, 0x8000, 4, None),
        (0, u32::MAX, 1, None),
        (0, 0x15, 2, None),
        (0, 0x14, 0, None),
        (0, 0x14, 3, None),
        (0, 0x18, 8, None),
    ] {
        config.write(start + 4, &[bar]);
        config.write(start + 8, &offset.to_le_bytes());
        config.write(start + 12, &length.to_le_bytes());
        assert_eq!(
            access.target(&config),
            expected,
            "{bar} {offset:#x} {length}"
        );
    }
    // What the capability is can't be written over.
    config.write(start, &[0xff; 4]);
    let mut bytes = [0; 4];
    config.read(start, &mut bytes);
    assert_eq!((bytes[0], bytes[2], bytes[3]), (9, 20, 5));
}
