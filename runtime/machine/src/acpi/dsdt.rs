//! The DSDT's code: host bridge, configuration space, generation id, its event device, panic port, S5. Main function: [`aml`]. `acpi`
//! puts the header before it.

use acpi_tables::{
    Aml, AmlSink,
    aml::{
        AddressSpace, AddressSpaceCacheable, And, Arg, CreateDWordField, Device, EISAName, Else,
        Equal, IO, If, Interrupt, Local, Memory32Fixed, Method, Name, NotEqual, Notify, ONE, Or,
        Package, Path, ResourceTemplate, Return, Store, Uuid, ZERO,
    },
};

use crate::{
    board::{PANIC_PORT, SLEEP_TYPE_OFF},
    generation::GENERATION_PIN,
    memory::{ECAM, GENERATION_ID, Layout, PCI_WINDOW_32},
};

/// _STA: present, enabled, shown, working.
const PRESENT: u8 = 0xf;
/// What a driver is notified of when the generation id has changed.
const GENERATION_CHANGED: u8 = 0x80;

pub(super) fn aml(layout: &Layout) -> Vec<u8> {
    let mut bytes = Vec::new();
    host_bridge(layout, &mut bytes);
    configuration_space(&mut bytes);
    generation(&mut bytes);
    events(&mut bytes);
    panic_port(&mut bytes);
    soft_off(&mut bytes);
    bytes
}

/// PCI0 with its windows. No _PRT: there are no INTx pins.
fn host_bridge(layout: &Layout, bytes: &mut Vec<u8>) {
    let window = layout.pci_window_64();
    let below = (
        u32::try_from(PCI_WINDOW_32.start).expect("below 4 GiB"),
        u32::try_from(PCI_WINDOW_32.end - 1).expect("below 4 GiB"),
    );
    let kind = AddressSpaceCacheable::NotCacheable;
    // For virtio's and passed-through devices' 64-bit BARs alike; prefetchable ones may lie in a window that isn't.
    let memory_64 = AddressSpace::new_memory(kind, true, window.start, window.end - 1, None);
    let memory_32 = AddressSpace::new_memory(kind, true, below.0, below.1, None);
    let buses = AddressSpace::new_bus_number(0, u16::from(layout.last_bus()));
    let resources = ResourceTemplate::new(vec![&buses, &memory_32, &memory_64]);
    Device::new(
        "_SB_.PCI0".into(),
        vec![
            &Name::new("_HID".into(), &EISAName::new("PNP0A08")),
            &Name::new("_CID".into(), &EISAName::new("PNP0A03")),
            &Name::new("_UID".into(), &ZERO),
            &Name::new("_SEG".into(), &ZERO),
            &Name::new("_BBN".into(), &ZERO),
            &Name::new("_CRS".into(), &resources),
            &Control,
        ],
    )
    .to_aml_bytes(bytes);
}

/// _OSC (PCI Firmware Specification 3.3, 4.5.1): the guest may control everything natively that it asks for, except SHPC hot-plug,
/// which needs a controller that nobody has.
struct Control;

impl Aml for Control {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        const SHPC: u32 = 1 << 1;
        const UNKNOWN_UUID: u32 = 1 << 2;
        const UNKNOWN_REVISION: u32 = 1 << 3;
        const MASKED: u32 = 1 << 4;
        let status = Path::new("CDW1");
        let control = Path::new("CDW3");
        let granted = !SHPC;
        Method::new(
            "_OSC".into(),
            4,
            true,
            vec![
                &CreateDWordField::new(&status, &Arg(3), &ZERO),
                &If::new(
                    &Equal::new(&Arg(0), &Uuid::new("33DB4D5B-1FF7-401C-9657-7441C03DD766")),
                    vec![
                        &CreateDWordField::new(&control, &Arg(3), &8_u8),
                        &Store::new(&Local(0), &control),
                        &And::new(&Local(0), &Local(0), &granted),
                        &If::new(
                            &NotEqual::new(&Arg(1), &ONE),
                            vec![&Or::new(&status, &status, &UNKNOWN_REVISION)],
                        ),
                        &If::new(
                            &NotEqual::new(&control, &Local(0)),
                            vec![&Or::new(&status, &status, &MASKED)],
                        ),
                        &Store::new(&control, &Local(0)),
                    ],
                ),
                &Else::new(vec![&Or::new(&status, &status, &UNKNOWN_UUID)]),
                &Return::new(&Arg(3)),
            ],
        )
        .to_aml_bytes(sink);
    }
}

/// Reserves ECAM, as the PCI Firmware Specification (3.3, 4.1.2) wants it besides MCFG.
fn configuration_space(bytes: &mut Vec<u8>) {
    let start = u32::try_from(ECAM.start).expect("ECAM is below 4 GiB");
    let length = u32::try_from(ECAM.end - ECAM.start).expect("ECAM is below 4 GiB");
    let range = Memory32Fixed::new(true, start, length);
    let resources = ResourceTemplate::new(vec![&range]);
    Device::new(
        "_SB_.ECAM".into(),
        vec![
            &Name::new("_HID".into(), &EISAName::new("PNP0C02")),
            &Name::new("_UID".into(), &ZERO),
            &Name::new("_CRS".into(), &resources),
        ],
    )
    .to_aml_bytes(bytes);
}

/// The id's page. The specification prescribes the first compatible id, which is longer than ACPI allows; the second one is what Hyper-V
/// added for that reason. Linux matches either. The hardware id is ours alone.
fn generation(bytes: &mut Vec<u8>) {
    let low = u32::try_from(GENERATION_ID).expect("the page is in low memory");
    let compatible = Package::new(vec![&"VM_Gen_Counter", &"VMGENCTR"]);
    Device::new(
        "_SB_.VGEN".into(),
        vec![
            &Name::new("_HID".into(), &"CFDM0001"),
            &Name::new("_CID".into(), &compatible),
            &Name::new("_DDN".into(), &"VM_Gen_Counter"),
            &Name::new("_STA".into(), &PRESENT),
            &Name::new("ADDR".into(), &Package::new(vec![&low, &0_u32])),
        ],
    )
    .to_aml_bytes(bytes);
}

/// Generic event device (ACPI 6.5, 5.6.9): turns an interrupt into a notification.
fn events(bytes: &mut Vec<u8>) {
    let interrupt = Interrupt::new(true, true, false, false, GENERATION_PIN);
    let device = Path::new("\\_SB_.VGEN");
    Device::new(
        "_SB_.GED_".into(),
        vec![
            &Name::new("_HID".into(), &"ACPI0013"),
            &Name::new("_UID".into(), &ZERO),
            &Name::new("_CRS".into(), &ResourceTemplate::new(vec![&interrupt])),
            &Method::new(
                "_EVT".into(),
                1,
                true,
                vec![&If::new(
                    &Equal::new(&Arg(0), &GENERATION_PIN),
                    vec![&Notify::new(&device, &GENERATION_CHANGED)],
                )],
            ),
        ],
    )
    .to_aml_bytes(bytes);
}

/// pvpanic.
fn panic_port(bytes: &mut Vec<u8>) {
    let port = IO::new(PANIC_PORT, PANIC_PORT, 1, 1);
    Device::new(
        "_SB_.PEVT".into(),
        vec![
            &Name::new("_HID".into(), &"QEMU0001"),
            &Name::new("_STA".into(), &PRESENT),
            &Name::new("_CRS".into(), &ResourceTemplate::new(vec![&port])),
        ],
    )
    .to_aml_bytes(bytes);
}

/// The sleep type that powers off.
fn soft_off(bytes: &mut Vec<u8>) {
    Name::new(
        "_S5_".into(),
        &Package::new(vec![&SLEEP_TYPE_OFF, &ZERO, &ZERO, &ZERO]),
    )
    .to_aml_bytes(bytes);
}
