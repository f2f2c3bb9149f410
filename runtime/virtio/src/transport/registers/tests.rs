//! The registers alone: what a driver reads back after each write.

use virtio_bindings::virtio_blk::VIRTIO_BLK_F_FLUSH;

use super::*;
use crate::test_driver::memory;

const LIVE: Live = Live {
    status: 0,
    generation: 0,
};
const FLUSH: u64 = 1 << VIRTIO_BLK_F_FLUSH;
const VERSION_1: u64 = 1 << VIRTIO_F_VERSION_1;

struct Bench {
    registers: Registers,
    memory: GuestRam,
}

impl Bench {
    fn new() -> Self {
        Self {
            registers: Registers::new(FLUSH, &[256, 8], 3),
            memory: memory(),
        }
    }

    fn read(&self, offset: u64, length: usize) -> u64 {
        let mut bytes = [0; 8];
        self.registers.read(offset, &mut bytes[..length], LIVE);
        u64::from_le_bytes(bytes)
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Effect {
        self.registers.write(offset, data, &self.memory)
    }

    fn write_16(&mut self, offset: u64, value: u16) -> Effect {
        self.write(offset, &value.to_le_bytes())
    }

    fn write_32(&mut self, offset: u64, value: u32) -> Effect {
        self.write(offset, &value.to_le_bytes())
    }

    fn choose(&mut self, features: u64) {
        for (select, shift) in [(0, 0), (1, 32)] {
            self.write_32(DRIVER_FEATURE_SELECT, select);
            let [a, b, c, d, ..] = (features >> shift).to_le_bytes();
            self.write(DRIVER_FEATURE, &[a, b, c, d]);
        }
    }

    /// Up to FEATURES_OK.
    fn negotiated() -> Self {
        let mut bench = Self::new();
        bench.write(STATUS, &[3]);
        bench.choose(VERSION_1);
        bench.write(STATUS, &[0xb]);
        assert_eq!(bench.read(STATUS, 1), 0xb);
        bench
    }

    fn place(&mut self, table: u64, available: u64, used: u64) {
        for (offset, address) in [
            (QUEUE_TABLE, table),
            (QUEUE_AVAILABLE, available),
            (QUEUE_USED, used),
        ] {
            self.write(offset, &address.to_le_bytes());
        }
    }
}

#[test]
fn features_offered_are_the_devices_and_the_transports() {
    let mut bench = Bench::new();
    let low = bench.read(DEVICE_FEATURE, 4);
    bench.write_32(DEVICE_FEATURE_SELECT, 1);
    let high = bench.read(DEVICE_FEATURE, 4);
    assert_eq!(low, FLUSH | 1 << 28 | 1 << 29);
    // VERSION_1 alone: no ACCESS_PLATFORM, packed ring, notification data or ring reset.
    assert_eq!(high, 1);
    bench.write_32(DEVICE_FEATURE_SELECT, 2);
    assert_eq!(bench.read(DEVICE_FEATURE, 4), 0);
}

#[test]
fn features_chosen_outside_their_time_are_ignored() {
    let mut bench = Bench::new();
    bench.choose(VERSION_1 | FLUSH);
    assert_eq!(bench.registers.features(), 0, "before DRIVER");
    bench.write(STATUS, &[3]);
    bench.choose(VERSION_1);
    bench.write(STATUS, &[0xb]);
    bench.choose(VERSION_1 | FLUSH);
    assert_eq!(bench.registers.features(), VERSION_1, "after FEATURES_OK");
    bench.write(STATUS, &[0xf]);
    bench.choose(0);
    assert_eq!(bench.registers.features(), VERSION_1, "after DRIVER_OK");
}

#[test]
fn features_that_do_not_fit_are_not_accepted() {
    // Not offered, and without VERSION_1.
    for features in [VERSION_1 | 1, VERSION_1 | 1 << 40, FLUSH, 0] {
        let mut bench = Bench::new();
        bench.write(STATUS, &[3]);
        bench.choose(features);
        bench.write(STATUS, &[0xb]);
        assert_eq!(bench.read(STATUS, 1), 3, "{features:#x}");
        assert_eq!(bench.write(STATUS, &[0xf]), Effect::None);
        assert!(!bench.registers.started());
    }
}

#[test]
fn queue_that_does_not_exist_reads_zero() {
    let mut bench = Bench::negotiated();
    assert_eq!(bench.read(QUEUE_COUNT, 2), 2);
    bench.write_16(QUEUE_SELECT, 2);
    assert_eq!(bench.write_16(QUEUE_VECTOR, 1), Effect::None);
    bench.write_16(QUEUE_SIZE, 8);
    bench.place(0x1000, 0x2000, 0x3000);
    bench.write_16(QUEUE_ENABLE, 1);
    for (offset, length) in [
        (24, 2),
        (26, 2),
        (28, 2),
        (30, 2),
        (32, 8),
        (40, 8),
        (48, 8),
    ] {
        assert_eq!(bench.read(offset, length), 0, "at {offset}");
    }
}

#[test]
fn queue_size_is_a_power_of_two_up_to_the_largest() {
    let mut bench = Bench::negotiated();
    assert_eq!(bench.read(QUEUE_SIZE, 2), 256);
    for (value, expected) in [
        (0, 256),
        (3, 256),
        (512, 256),
        (128, 128),
        (1, 1),
        (0x8000, 1),
    ] {
        bench.write_16(QUEUE_SIZE, value);
        assert_eq!(bench.read(QUEUE_SIZE, 2), expected, "{value}");
    }
    bench.write_16(QUEUE_SELECT, 1);
    assert_eq!(bench.read(QUEUE_SIZE, 2), 8);
    assert_eq!(bench.read(QUEUE_NOTIFY_OFFSET, 2), 1);
}

fn check_enable(places: (u64, u64, u64), enabled: u64) {
    let mut bench = Bench::negotiated();
    bench.place(places.0, places.1, places.2);
    bench.write_16(QUEUE_ENABLE, 1);
    assert_eq!(bench.read(QUEUE_ENABLE, 2), enabled, "{places:x?}");
    let made = bench.registers.queues(&bench.memory);
    assert_eq!(made.flatten().count(), usize::from(enabled == 1));
}

#[test]
fn queue_enabled_lies_aligned_in_memory() {
    check_enable((0x1000, 0x2000, 0x3000), 1);
    check_enable((0x1_0010, 0x2002, 0x3004), 1);
    // Misaligned.
    check_enable((0x1008, 0x2000, 0x3000), 0);
    check_enable((0x1000, 0x2001, 0x3000), 0);
    check_enable((0x1000, 0x2000, 0x3002), 0);
    // Outside, across the end, in the hole, at the end of addresses, nowhere.
    check_enable((0x50_0000, 0x2000, 0x3000), 0);
    check_enable((0x1000, 0x4f_ff00, 0x3000), 0);
    check_enable((0x1000, 0x2000, 0x9_ff00), 0);
    check_enable((u64::MAX - 15, 0x2000, 0x3000), 0);
    check_enable((0x1000, u64::MAX - 1, 0x3000), 0);
    check_enable((0x1000, 0x2000, u64::MAX - 3), 0);
    check_enable((0, 0, 0), 0);
}

#[test]
fn queue_enabled_can_not_be_changed() {
    let mut bench = Bench::negotiated();
    bench.place(0x1000, 0x2000, 0x3000);
    bench.write_16(QUEUE_ENABLE, 1);
    bench.place(0x4000, 0x5000, 0x6000);
    bench.write_16(QUEUE_SIZE, 4);
    bench.write_16(QUEUE_ENABLE, 0);
    assert_eq!(bench.read(QUEUE_TABLE, 8), 0x1000);
    assert_eq!(bench.read(QUEUE_AVAILABLE, 8), 0x2000);
    assert_eq!(bench.read(QUEUE_USED, 8), 0x3000);
    assert_eq!(bench.read(QUEUE_SIZE, 2), 256);
    assert_eq!(bench.read(QUEUE_ENABLE, 2), 1);
}

#[test]
fn queue_enabled_out_of_its_time_stays_off() {
    let mut bench = Bench::new();
    bench.write(STATUS, &[3]);
    bench.place(0x1000, 0x2000, 0x3000);
    bench.write_16(QUEUE_ENABLE, 1);
    assert_eq!(bench.read(QUEUE_ENABLE, 2), 0, "before FEATURES_OK");
    let mut bench = Bench::negotiated();
    bench.place(0x1000, 0x2000, 0x3000);
    assert_eq!(bench.write(STATUS, &[0xf]), Effect::Start);
    bench.write_16(QUEUE_ENABLE, 1);
    assert_eq!(bench.read(QUEUE_ENABLE, 2), 0, "after DRIVER_OK");
}

#[test]
fn vector_that_does_not_exist_reads_back_as_none() {
    let mut bench = Bench::new();
    assert_eq!(bench.read(CONFIG_VECTOR, 2), 0xffff);
    for (value, expected) in [(2, 2), (3, 0xffff), (0, 0), (0xffff, 0xffff)] {
        let effect = bench.write_16(CONFIG_VECTOR, value);
        assert_eq!(effect, Effect::ConfigVector(expected));
        assert_eq!(bench.read(CONFIG_VECTOR, 2), u64::from(expected));
        bench.write_16(QUEUE_SELECT, 1);
        let effect = bench.write_16(QUEUE_VECTOR, value);
        let vector = expected;
        assert_eq!(effect, Effect::QueueVector { queue: 1, vector });
        assert_eq!(bench.read(QUEUE_VECTOR, 2), u64::from(expected));
    }
}

#[test]
fn registers_reset_are_as_new() {
    let mut bench = Bench::negotiated();
    bench.write_16(QUEUE_SELECT, 1);
    bench.place(0x1000, 0x2000, 0x3000);
    bench.write_16(QUEUE_ENABLE, 1);
    bench.write_16(CONFIG_VECTOR, 1);
    assert_eq!(bench.write(STATUS, &[0]), Effect::Reset);
    bench.registers.reset();
    let (mut is, mut new) = ([0; 64], [0; 64]);
    bench.registers.read(0, &mut is, LIVE);
    Bench::new().registers.read(0, &mut new, LIVE);
    assert_eq!(is, new);
}

#[test]
fn registers_written_in_odd_widths_do_not_change() {
    let mut bench = Bench::negotiated();
    let mut before = [0; 64];
    bench.registers.read(0, &mut before, LIVE);
    for offset in (0..70).chain([u64::MAX - 7, u64::MAX]) {
        for width in [3, 5, 16] {
            bench.write(offset, &vec![0xff; width]);
        }
    }
    // Read-only ones, by byte, and where there is nothing.
    for (offset, width) in [
        (4, 4),
        (18, 2),
        (21, 1),
        (30, 2),
        (56, 2),
        (0, 8),
        (8, 8),
        (33, 4),
    ] {
        bench.write(offset, &vec![0xff; width]);
    }
    let mut after = [0; 64];
    bench.registers.read(0, &mut after, LIVE);
    assert_eq!(before, after);
}

#[test]
fn status_shows_what_others_changed() {
    let bench = Bench::negotiated();
    let live = Live {
        status: status::NEEDS_RESET,
        generation: 7,
    };
    let mut bytes = [0; 2];
    bench.registers.read(STATUS, &mut bytes, live);
    assert_eq!(bytes, [0x4b, 7]);
}
