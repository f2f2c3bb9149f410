//! A device behind the PCI bus, driven as Linux drives it. On this machine's KVM; without one each test says so and passes.

use std::fs::File;

use machine::doorbell::Doorbell;
use vm_memory::{Bytes, GuestAddress};

use crate::{
    block::{Access, Disk, Identity, layout::Segment},
    entropy::Entropy,
    test_driver::{
        DriverRing, NEXT, into, out,
        pci::{COMMON, DEVICE, EVENT_IDX, INDIRECT, ISR, PciDriver, VERSION_1, driver_or_skip},
    },
};

const DATA: u64 = 0x10_0000;
const TABLE: u64 = 0x3_0000;

fn entropy(test: &str) -> Option<PciDriver> {
    driver_or_skip(test, Box::new(Entropy))
}

fn disk(test: &str, file: &File) -> Option<PciDriver> {
    let segment = Segment {
        file: file.try_clone().expect("share the file"),
        offset: 0,
        length: file.metadata().expect("ask its length").len(),
    };
    let identity = Identity::new("disk").expect("a name");
    let disk = Disk::new(vec![segment], Access::Writable, identity);
    driver_or_skip(test, Box::new(disk.expect("a disk")))
}

/// Sends one request for random bytes and takes the answer.
fn ask(driver: &mut PciDriver, ring: &mut DriverRing) -> Option<(u32, u32)> {
    ring.request(&[into(DATA, 64)]);
    driver.notify(0);
    driver.desk.pump();
    ring.take_used()
}

/// Two doorbells can't be at one address.
fn is_doorbell(driver: &PciDriver, address: u64) -> bool {
    let mut other = Doorbell::new(&driver.vm, None).expect("make a doorbell");
    other.move_to(Some(address)).is_err()
}

#[test]
fn function_says_what_it_is() {
    let Some(mut driver) = entropy("function_says_what_it_is") else {
        return;
    };
    assert_eq!(driver.config(0, 4), 0x1044_1af4);
    assert_eq!(driver.config(8, 4), 0xff00_0001);
    assert_eq!(driver.config(0x2c, 4), 0x0040_1af4);
    // No interrupt pin: INTx is not there.
    assert_eq!(driver.config(0x3d, 1), 0);
    // A 64-bit memory BAR.
    assert_eq!(driver.config(0x10, 4) & 0xf, 4);
    assert_eq!(driver.vectors(), 2);
    assert_eq!(driver.offered(), VERSION_1 | EVENT_IDX | INDIRECT);
}

#[test]
fn device_started_answers_and_interrupts() {
    let Some(mut driver) = entropy("device_started_answers_and_interrupts") else {
        return;
    };
    assert!(!driver.desk.occupied());
    let mut ring = driver.start(0);
    assert!(driver.desk.occupied());
    for turn in 0..40 {
        assert_eq!(ask(&mut driver, &mut ring), Some((turn % 16, 64)));
        assert!(driver.interrupted(1));
        assert!(!driver.interrupted(0) && !driver.interrupted(1));
    }
    let mut bytes = [0; 64];
    let read = driver.memory.read_slice(&mut bytes, GuestAddress(DATA));
    read.expect("in memory");
    assert_ne!(bytes, [0; 64]);
}

#[test]
fn device_with_event_idx_interrupts_when_the_driver_wants() {
    let Some(mut driver) = entropy("device_with_event_idx_interrupts_when_the_driver_wants") else {
        return;
    };
    let mut ring = driver.start(EVENT_IDX);
    ring.set_used_event(2);
    for expected in [false, false, true, false] {
        ask(&mut driver, &mut ring).expect("an answer");
        assert_eq!(driver.interrupted(1), expected);
    }
    // And it says from where on it wants to be notified.
    assert_eq!(ring.avail_event(), 4);
}

#[test]
fn device_with_indirect_descriptors_reads_them() {
    let Some(mut driver) = entropy("device_with_indirect_descriptors_reads_them") else {
        return;
    };
    let mut ring = driver.start(INDIRECT | EVENT_IDX);
    ring.request_indirect(TABLE, &[into(DATA, 8), into(DATA + 0x1000, 24)]);
    driver.notify(0);
    driver.desk.pump();
    assert_eq!(ring.take_used(), Some((0, 32)));
}

#[test]
fn device_not_negotiated_does_not_start() {
    let Some(mut driver) = entropy("device_not_negotiated_does_not_start") else {
        return;
    };
    assert_eq!(driver.set_status(3), 3);
    // DRIVER_OK without FEATURES_OK, then features that don't fit.
    assert_eq!(driver.set_status(7), 3);
    driver.choose(EVENT_IDX);
    assert_eq!(driver.set_status(0xb), 3);
    assert_eq!(driver.set_status(0xf), 3);
    assert!(!driver.desk.occupied());
    // A doorbell of a device that does not work rings for nobody.
    driver.notify(0);
    assert!(!driver.desk.pump());
}

#[test]
fn device_reset_stops_and_starts_again() {
    let Some(mut driver) = entropy("device_reset_stops_and_starts_again") else {
        return;
    };
    for features in [0, EVENT_IDX, INDIRECT] {
        let mut ring = driver.start(features);
        ask(&mut driver, &mut ring).expect("an answer");
        ring.request(&[into(DATA, 64)]);
        driver.notify(0);
        assert_eq!(driver.set_status(0), 0);
        assert!(!driver.desk.occupied());
        assert!(!driver.desk.pump());
        assert_eq!(ring.take_used(), None, "nothing is touched after the reset");
        assert_eq!(driver.read(COMMON, 16, 2), 0xffff);
        assert_eq!(driver.read(COMMON, 28, 2), 0);
        assert_eq!(driver.read(COMMON, 26, 2), 0xffff);
    }
}

#[test]
fn device_reset_forgets_vectors_and_what_rang() {
    let Some(mut driver) = entropy("device_reset_forgets_vectors_and_what_rang") else {
        return;
    };
    let mut ring = driver.start(0);
    ring.descriptor(0, (DATA, 16), NEXT, 0);
    ring.offer(0);
    driver.notify(0);
    driver.desk.pump();
    assert_eq!(driver.set_status(0), 0);
    assert!(driver.interrupted(0), "the broken ring");
    assert_eq!(driver.read(ISR, 0, 1), 0);
    // The next driver chooses no vectors.
    driver.set_status(3);
    driver.choose(VERSION_1);
    driver.set_status(0xb);
    let mut ring = DriverRing::new(&driver.memory, 0x1_0000, 16);
    for (offset, address) in [(32, ring.table), (40, ring.available), (48, ring.used)] {
        driver.write(COMMON, offset, &address.to_le_bytes());
    }
    driver.write(COMMON, 24, &16_u16.to_le_bytes());
    driver.write(COMMON, 28, &1_u16.to_le_bytes());
    assert_eq!(driver.set_status(0xf), 0xf);
    ask(&mut driver, &mut ring).expect("an answer");
    assert!(!driver.interrupted(1), "the last driver's vector");
    assert_eq!(
        driver.read(ISR, 0, 1),
        1,
        "what a driver without vectors polls"
    );
}

#[test]
fn device_whose_bar_moves_follows() {
    let Some(mut driver) = entropy("device_whose_bar_moves_follows") else {
        return;
    };
    let mut ring = driver.start(0);
    let old = driver.doorbell_address(0);
    assert!(is_doorbell(&driver, old));
    // Elsewhere, onto a part of itself's old place, and below 4 GiB.
    for to in [driver.bar() + 0x10_0000, driver.bar() + 0x8000, 0xc100_0000] {
        let before = driver.doorbell_address(0);
        driver.move_bar(to);
        assert!(is_doorbell(&driver, driver.doorbell_address(0)));
        assert!(!is_doorbell(&driver, before));
        assert!(
            !driver.root.bar_read(before, &mut [0; 4]),
            "the old place is free"
        );
        ask(&mut driver, &mut ring).expect("an answer");
        assert!(driver.interrupted(1));
    }
    // Where no BAR may be it decodes nowhere, and comes back from there.
    driver.move_bar(0x1000);
    assert!(!driver.root.bar_read(0x1000, &mut [0; 4]));
    driver.move_bar(0xc200_0000);
    ask(&mut driver, &mut ring).expect("an answer");
}

#[test]
fn device_with_a_broken_ring_wants_a_reset() {
    let Some(mut driver) = entropy("device_with_a_broken_ring_wants_a_reset") else {
        return;
    };
    let mut ring = driver.start(0);
    let generation = driver.read(COMMON, 21, 1);
    ring.descriptor(0, (DATA, 16), NEXT, 0);
    ring.offer(0);
    driver.notify(0);
    driver.desk.pump();
    assert_eq!(driver.status(), 0x4f);
    assert!(driver.interrupted(0), "the driver is told");
    assert_ne!(driver.read(COMMON, 21, 1), generation);
    assert_eq!(driver.read(ISR, 0, 1), 2);
    assert_eq!(driver.read(ISR, 0, 1), 0, "reading clears it");
    // A driver that resets it has a sound device again.
    let mut ring = driver.start(0);
    assert_eq!(driver.status(), 0xf);
    ask(&mut driver, &mut ring).expect("an answer");
}

#[test]
fn device_without_its_queue_wants_a_reset() {
    let Some(mut driver) = entropy("device_without_its_queue_wants_a_reset") else {
        return;
    };
    driver.negotiate(VERSION_1);
    assert_eq!(driver.set_status(0xf), 0x4f);
    assert!(driver.interrupted(0));
    assert_eq!(driver.desk.not_started(), ["Entropy: activate the device"]);
    let mut ring = driver.start(0);
    ask(&mut driver, &mut ring).expect("an answer");
}

#[test]
fn device_without_a_thread_wants_a_reset() {
    let Some(mut driver) = entropy("device_without_a_thread_wants_a_reset") else {
        return;
    };
    driver.desk.refuse();
    driver.negotiate(VERSION_1);
    driver.queue(0, 0x1_0000, 16);
    assert_eq!(driver.set_status(0xf), 0x4f);
    let expected = ["Entropy: find a thread for the device's work"];
    assert_eq!(driver.desk.not_started(), expected);
}

#[test]
fn device_reached_through_configuration_space_works() {
    let Some(mut driver) = entropy("device_reached_through_configuration_space_works") else {
        return;
    };
    let mut ring = driver.start(0);
    let access = driver.config_access;
    let aim = |driver: &mut PciDriver, offset: u32, length: u32| {
        driver.config_set(access + 4, &[0]);
        driver.config_set(access + 8, &offset.to_le_bytes());
        driver.config_set(access + 12, &length.to_le_bytes());
    };
    aim(&mut driver, 20, 1);
    assert_eq!(driver.config(access + 16, 4), 0xf, "the status");
    aim(&mut driver, 18, 2);
    assert_eq!(driver.config(access + 16, 4), 1, "the number of queues");
    // The doorbell, as a driver without the BAR rings it.
    ring.request(&[into(DATA, 64)]);
    aim(&mut driver, 0x3000, 2);
    driver.config_set(access + 16, &[0; 4]);
    assert!(driver.desk.pump());
    assert_eq!(ring.take_used(), Some((0, 64)));
    // Outside the BAR, it does nothing.
    aim(&mut driver, 0x8000, 4);
    driver.config_set(access + 16, &[0xff; 4]);
    aim(&mut driver, 0x7000, 4);
    driver.config_set(access + 16, &[0xff; 4]);
    assert_eq!(
        driver.config(access + 16, 4),
        0xffff_ffff,
        "what was written"
    );
}

#[test]
fn device_unplugged_leaves_nothing_behind() {
    let Some(mut driver) = entropy("device_unplugged_leaves_nothing_behind") else {
        return;
    };
    let mut ring = driver.start(0);
    ask(&mut driver, &mut ring).expect("an answer");
    let doorbell = driver.doorbell_address(0);
    let address = driver.address;
    let function = driver.root.remove(address).expect("it is there");
    assert!(!driver.desk.occupied());
    assert!(!is_doorbell(&driver, doorbell));
    assert_eq!(driver.config(0, 4), 0xffff_ffff);
    drop(function);
}

#[test]
fn device_dropped_while_it_works_stops() {
    let Some(mut driver) = entropy("device_dropped_while_it_works_stops") else {
        return;
    };
    driver.start(0);
    let desk = driver.desk.clone();
    drop(driver);
    assert!(!desk.occupied());
}

#[test]
fn device_accessed_where_nothing_is_reads_ones_and_goes_on() {
    let Some(mut driver) = entropy("device_accessed_where_nothing_is_reads_ones_and_goes_on")
    else {
        return;
    };
    let mut ring = driver.start(0);
    let bar = driver.bar();
    for offset in (0..0x8000).step_by(4) {
        let mut bytes = [0; 8];
        driver.root.bar_read(bar + offset, &mut bytes);
        // Not the registers, where a write of ones means something.
        if offset >= 0x1000 && !(0x4000..0x5000).contains(&offset) {
            driver.root.bar_write(bar + offset, &[0xff; 8]);
        }
    }
    assert_eq!(driver.status(), 0xf);
    let mut bytes = [0; 4];
    driver.root.bar_read(bar + 0x6000, &mut bytes);
    assert_eq!(bytes, [0xff; 4]);
    ask(&mut driver, &mut ring).expect("an answer");
}

#[test]
fn disk_behind_pci_shows_its_configuration_and_reads() {
    let file = tempfile::tempfile().expect("make a file");
    file.set_len(1 << 20).expect("size the file");
    std::os::unix::fs::FileExt::write_all_at(&file, b"sector 3", 3 * 512).expect("fill it");
    let Some(mut driver) = disk("disk_behind_pci_shows_its_configuration_and_reads", &file) else {
        return;
    };
    assert_eq!(driver.config(0, 4), 0x1042_1af4);
    assert_eq!(driver.config(8, 4), 0x0180_0001);
    assert_eq!(driver.read(DEVICE, 0, 4), 2048);
    assert_eq!(driver.read(DEVICE, 20, 4), 512);
    let features = driver.offered();
    let mut ring = driver.start(features);
    let mut header = [0; 16];
    header[8] = 3;
    driver
        .memory
        .write_slice(&header, GuestAddress(0x2_0000))
        .expect("in memory");
    ring.set_used_event(0);
    ring.request_indirect(
        TABLE,
        &[out(0x2_0000, 16), into(DATA, 4096), into(0x2_0010, 1)],
    );
    driver.notify(0);
    assert!(driver.desk.pump());
    assert_eq!(ring.take_used(), Some((0, 4097)));
    assert!(driver.interrupted(1));
    let mut bytes = [0; 8];
    driver
        .memory
        .read_slice(&mut bytes, GuestAddress(DATA))
        .expect("in memory");
    assert_eq!(&bytes, b"sector 3");
}
