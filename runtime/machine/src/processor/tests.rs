//! A few instructions on this machine's KVM: exits, their answers, kicks and stops.

use std::{
    fs::File,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use vm_memory::{Bytes, GuestAddress};

use super::{Exit, Kicker, Processor, allow_kicks};
use crate::{
    board::{Board, Stop, Verdict},
    boot::Entry,
    cpuid::ProcessorModel,
    doorbell::Doorbell,
    kvm::{Vm, tests::vm_or_skip},
    memory::{ECAM, GuestRam, Layout, PCI_WINDOW_32},
    pci::{Bar, BarChange, BarSpec, BarWidth, ConfigSpace, Identity, PciAddress, PciFunction},
};

const CODE: u32 = 0x10_0000;
/// More exits than any program here makes.
const MOST_EXITS: u32 = 1000;
const DEADLINE: Duration = Duration::from_secs(20);

/// Assembles `mov eax, value`.
fn mov_eax(value: u32) -> Vec<u8> {
    [vec![0xb8], value.to_le_bytes().to_vec()].concat()
}

/// Assembles `mov [address], eax`.
fn store_eax(address: u64) -> Vec<u8> {
    let address = u32::try_from(address).unwrap();
    [vec![0xa3], address.to_le_bytes().to_vec()].concat()
}

/// Assembles `mov eax, [address]`.
fn load_eax(address: u64) -> Vec<u8> {
    let address = u32::try_from(address).unwrap();
    [vec![0xa1], address.to_le_bytes().to_vec()].concat()
}

/// Assembles `mov dx, port; out dx, al`.
fn out_al(port: u16) -> Vec<u8> {
    let [low, high] = port.to_le_bytes();
    vec![0x66, 0xba, low, high, 0xee]
}

const POWER_OFF: u8 = 5 << 2 | 1 << 5;

fn power_off() -> Vec<u8> {
    [mov_eax(POWER_OFF.into()), out_al(0x600)].concat()
}

fn processor(vm: &Vm, ram: &GuestRam, code: &[u8]) -> Processor {
    ram.write_slice(code, GuestAddress(CODE.into())).unwrap();
    let model = ProcessorModel::new(vm, 1).unwrap();
    let mut processor = Processor::new(vm, &model, 0).unwrap();
    let entry = Entry {
        address: CODE,
        start_info: 0x6000,
    };
    processor.start_at(&entry).unwrap();
    processor.bind_to_this_thread();
    processor
}

fn run(processor: &mut Processor, board: &Board) -> Stop {
    for _ in 0..MOST_EXITS {
        if let Verdict::Stop(stop) = board.answer(processor.run().unwrap()) {
            return stop;
        }
    }
    panic!("no stop after {MOST_EXITS} exits: {}", tail(board));
}

fn tail(board: &Board) -> String {
    String::from_utf8_lossy(&board.console_tail()).into_owned()
}

fn board() -> Board {
    Board::new(&Layout::new(32 << 20).unwrap(), None)
}

#[test]
fn program_writing_to_serial_port_and_powering_off_is_seen() {
    let Some((vm, ram)) = vm_or_skip("program_writing_to_serial_port_and_powering_off_is_seen")
    else {
        return;
    };
    let code = [
        mov_eax(b'H'.into()),
        out_al(0x3f8),
        mov_eax(b'i'.into()),
        out_al(0x3f8),
        power_off(),
    ];
    let mut processor = processor(&vm, &ram, &code.concat());
    let board = board();
    assert_eq!(run(&mut processor, &board), Stop::PowerOff);
    assert_eq!(tail(&board), "Hi");
    let totals = processor.counts().totals();
    assert_eq!((totals.port_writes, totals.memory_reads), (3, 0));
}

#[test]
fn program_with_a_triple_fault_is_stopped() {
    let Some((vm, ram)) = vm_or_skip("program_with_a_triple_fault_is_stopped") else {
        return;
    };
    // `lidt` of six zero bytes behind the code, then `mov ds, ax` with a selector of nothing: no handler of that fault, and none of
    // the fault of having none.
    let address = CODE + 0x100;
    let code = [
        vec![0x0f, 0x01, 0x1d],
        address.to_le_bytes().to_vec(),
        mov_eax(0x1234),
        vec![0x8e, 0xd8],
    ];
    let mut processor = processor(&vm, &ram, &code.concat());
    assert_eq!(run(&mut processor, &board()), Stop::TripleFault);
}

/// Keeps what reaches its BAR, and a doorbell at offset 0x800.
#[derive(Debug)]
struct Probe {
    config: ConfigSpace,
    doorbell: Doorbell,
    seen: Seen,
}

type Seen = Arc<Mutex<Vec<(u64, Vec<u8>)>>>;

impl Probe {
    fn new(vm: &Vm, seen: &Seen) -> Self {
        let mut config = ConfigSpace::new(&Identity {
            vendor: 0x1234,
            device: 0x5678,
            revision: 1,
            class: [0xff, 0, 0],
            subsystem_vendor: 0,
            subsystem: 0,
        });
        config
            .add_bar(BarSpec {
                bar: Bar(0),
                size: 4096,
                width: BarWidth::Bits32,
            })
            .unwrap();
        Self {
            config,
            doorbell: Doorbell::new(vm, None).unwrap(),
            seen: Arc::clone(seen),
        }
    }
}

impl PciFunction for Probe {
    fn config_read(&mut self, offset: u16, data: &mut [u8]) {
        self.config.read(offset, data);
    }

    fn config_write(&mut self, offset: u16, data: &[u8]) -> Vec<BarChange> {
        self.config.write(offset, data)
    }

    fn bars(&self) -> Vec<(Bar, u64, Option<u64>)> {
        self.config.bars()
    }

    fn bar_moved(&mut self, change: BarChange) {
        self.doorbell
            .move_to(change.to.map(|address| address + 0x800))
            .unwrap();
    }

    fn bar_read(&mut self, _bar: Bar, offset: u64, data: &mut [u8]) {
        let byte = u8::try_from(offset).unwrap();
        data.fill(byte);
    }

    fn bar_write(&mut self, _bar: Bar, offset: u64, data: &[u8]) {
        self.seen.lock().unwrap().push((offset, data.to_vec()));
    }

    fn unplug(&mut self) {
        self.doorbell.move_to(None).unwrap();
    }
}

#[test]
fn program_moving_a_bar_reaches_device_and_doorbell_at_both_places() {
    let Some((vm, ram)) =
        vm_or_skip("program_moving_a_bar_reaches_device_and_doorbell_at_both_places")
    else {
        return;
    };
    let board = board();
    let seen = Seen::default();
    let probe = Probe::new(&vm, &seen);
    let rung = probe.doorbell.eventfd().try_clone().unwrap();
    let address = board.add(Box::new(probe)).unwrap();
    assert_eq!(address.to_string(), "0000:00:01.0");

    let config = |register: u64| ECAM.start + (1 << 15) + register;
    let first = PCI_WINDOW_32.start;
    let second = PCI_WINDOW_32.start + 0x10_0000;
    let result = 0x20_0000;
    let code = [
        load_eax(config(0)),
        store_eax(result), // 0x56781234
        load_eax(config(0x1000)),
        store_eax(result + 4), // An absent function.
        mov_eax(2),
        store_eax(config(4)), // Memory decoding on.
        load_eax(first + 0x42),
        store_eax(result + 8),
        mov_eax(7),
        store_eax(first + 0x10),
        store_eax(first + 0x800), // The doorbell.
        mov_eax(u32::try_from(second).unwrap()),
        store_eax(config(0x10)),
        mov_eax(8),
        store_eax(second + 0x20),
        store_eax(second + 0x800), // The doorbell.
        store_eax(first + 0x800),  // Nobody.
        load_eax(first),
        store_eax(result + 12),
        power_off(),
    ];
    let mut processor = processor(&vm, &ram, &code.concat());
    assert_eq!(run(&mut processor, &board), Stop::PowerOff);

    let word = |offset: u64| ram.read_obj::<u32>(GuestAddress(result + offset)).unwrap();
    assert_eq!(
        [word(0), word(4), word(8), word(12)],
        [0x5678_1234, u32::MAX, 0x4242_4242, u32::MAX]
    );
    let writes = seen.lock().unwrap().clone();
    assert_eq!(
        writes,
        [
            (0x10, 7_u32.to_le_bytes().to_vec()),
            (0x20, 8_u32.to_le_bytes().to_vec())
        ]
    );
    assert_eq!(rung.read().unwrap(), 2, "rung at both places, once each");

    board.remove(address).unwrap();
    assert!(board.remove(address).is_err());
    let bridge = PciAddress {
        bus: 0,
        device: 0,
        function: 0,
    };
    assert!(board.remove(bridge).is_err());
}

#[test]
fn kick_from_another_thread_interrupts_an_endless_loop() {
    let Some((vm, ram)) = vm_or_skip("kick_from_another_thread_interrupts_an_endless_loop") else {
        return;
    };
    allow_kicks().unwrap();
    let mut processor = processor(&vm, &ram, &[0xeb, 0xfe]);
    let kicker = processor.kicker();
    let started = Instant::now();

    kicker.kick();
    assert!(
        matches!(processor.run().unwrap(), Exit::Interrupted),
        "kicked before"
    );
    std::thread::scope(|scope| {
        scope.spawn(|| kick_soon(&kicker));
        assert!(matches!(processor.run().unwrap(), Exit::Interrupted));
    });
    assert!(started.elapsed() < DEADLINE);
    drop(processor);
    kicker.kick(); // Nobody is there any more.
}

/// Waits a moment, so that the processor most likely is in the guest; the test holds either way.
fn kick_soon(kicker: &Kicker) {
    let moment = Duration::from_millis(50);
    let (_sender, receiver) = std::sync::mpsc::channel::<()>();
    receiver.recv_timeout(moment).ok();
    kicker.kick();
}

#[test]
fn four_processors_are_made_and_a_fifth_id_twice_is_refused() {
    let Some((vm, _ram)) = vm_or_skip("four_processors_are_made_and_a_fifth_id_twice_is_refused")
    else {
        return;
    };
    let model = ProcessorModel::new(&vm, 4).unwrap();
    let processors: Vec<_> = (0..4)
        .map(|id| Processor::new(&vm, &model, id).unwrap())
        .collect();
    assert_eq!(processors.len(), 4);
    let error = Processor::new(&vm, &model, 3).unwrap_err();
    assert_eq!(error.to_string(), "create a virtual processor");
    assert!(ProcessorModel::new(&vm, 0).is_err());
    assert!(ProcessorModel::new(&vm, 1 << 20).is_err());
}

#[test]
fn board_console_goes_to_the_file_by_lines() {
    let mut file = tempfile::tempfile().unwrap();
    let board = Board::new(
        &Layout::new(32 << 20).unwrap(),
        Some(File::try_clone(&file).unwrap()),
    );
    let mut say = |text: &[u8]| {
        let exit = Exit::PortWrite {
            port: 0x3f8,
            width: 1,
            data: text,
        };
        assert_eq!(board.answer(exit), Verdict::Continue);
        let mut bytes = Vec::new();
        std::io::Seek::rewind(&mut file).unwrap();
        std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
        bytes
    };
    assert_eq!(say(b"one\ntw"), b"one\n");
    assert_eq!(say(b"o\n"), b"one\ntwo\n");
}
