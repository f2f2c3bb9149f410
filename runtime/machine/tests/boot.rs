//! Boots the guest kernel with no disk and no init. Needs a KVM that runs stock guests and a kernel: its path in
//! COFFERDAM_TEST_KERNEL. Elsewhere it says what is missing.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a set-up that fails ends the test, and a test says what it saw"
)]

use std::{
    env,
    fs::File,
    io,
    os::fd::AsFd,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use machine::{
    acpi,
    board::{Board, Stop, Verdict},
    boot::{self, Payload},
    cpuid::ProcessorModel,
    generation::GenerationId,
    interrupt::Interrupts,
    kvm::Vm,
    memory::{self, Layout},
    pci::{Bar, BarChange, BarSpec, BarWidth, ConfigSpace, Identity, Msix, MsixPlace, PciFunction},
    processor::{Exit, Kicker, Processor, allow_kicks},
};

const RAM_BYTES: u64 = 256 << 20;
const PROCESSORS: u32 = 2;
/// A boot takes seconds in the test host.
const DEADLINE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[test]
fn kernel_without_root_panics_and_says_so() {
    let Some(guest) = Guest::start(
        "kernel_without_root_panics_and_says_so",
        "loglevel=8 panic=-1",
    ) else {
        return;
    };
    let (stop, log) = guest.until_stop();
    assert!(
        log.contains("Kernel panic - not syncing"),
        "the log says why"
    );
    assert_eq!(stop, Stop::GuestPanic);
    for found in [
        "PCI host bridge to bus 0000:00",
        "root bus resource [mem 0xc0000000-0xdfffffff window]",
        "smp: Brought up 1 node, 2 CPUs",
        "TSC deadline timer available",
        "pci 0000:00:01.0: [1b36:0005] type 00 class 0xff0000",
        "pci 0000:00:01.0: BAR 0 [mem 0xc0000000-0xc0000fff]",
        "pci 0000:00:01.0: BAR 2 [mem 0x100000000-0x100003fff 64bit pref]",
    ] {
        assert!(
            log.contains(found),
            "the guest finds what it should: {found}"
        );
    }
    assert!(
        !log.contains("01.0: BAR 0 [mem 0xc0000000-0xc0000fff]: assigned"),
        "it is content with our addresses"
    );
    let complaints: Vec<_> = log.lines().filter(|line| complains(line)).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn kernel_with_a_quiet_console_still_shows_its_panic() {
    let Some(guest) = Guest::start(
        "kernel_with_a_quiet_console_still_shows_its_panic",
        "loglevel=1 panic=-1",
    ) else {
        return;
    };
    let (stop, log) = guest.until_stop();
    assert_eq!(stop, Stop::GuestPanic);
    assert!(log.contains("Kernel panic - not syncing"));
    assert!(!log.contains("Linux version"), "and nothing else: {log}");
}

#[test]
fn kernel_told_of_a_new_generation_reseeds() {
    let Some(guest) = Guest::start(
        "kernel_told_of_a_new_generation_reseeds",
        "loglevel=8 root=/dev/vda rootwait",
    ) else {
        return;
    };
    guest.until_log("Waiting for root device");
    guest.generation.renew().unwrap();
    guest.until_log("crng reseeded due to virtual machine fork");
}

/// Lines about our tables and our bus that name something wrong.
fn complains(line: &str) -> bool {
    let about_us = ["ACPI", "PCI", "pci ", "vmgenid", "GED", "APIC"];
    let wrong = [
        "rror", "BUG", "Bug", "arning", "nvalid", "ailed", "onflict", "can't",
    ];
    about_us.iter().any(|word| line.contains(word)) && wrong.iter().any(|word| line.contains(word))
}

/// A function with BARs of each kind and MSI-X, for which the guest has no driver.
#[derive(Debug)]
struct Plain {
    config: ConfigSpace,
    msix: Msix,
}

impl Plain {
    fn new(interrupts: &Interrupts) -> Self {
        let mut config = ConfigSpace::new(&Identity {
            vendor: 0x1b36,
            device: 0x0005,
            revision: 1,
            class: [0xff, 0, 0],
            subsystem_vendor: 0x1b36,
            subsystem: 1,
        });
        for (bar, size, width) in [
            (0, 0x1000, BarWidth::Bits32),
            (2, 0x4000, BarWidth::Bits64Prefetchable),
        ] {
            let bar = Bar(bar);
            config.add_bar(BarSpec { bar, size, width }).unwrap();
        }
        let place = MsixPlace {
            bar: Bar(0),
            table: 0,
            pending: 0x800,
        };
        let msix = Msix::new(interrupts, 4, &mut config, place).unwrap();
        Self { config, msix }
    }
}

impl PciFunction for Plain {
    fn config_read(&mut self, offset: u16, data: &mut [u8]) {
        self.config.read(offset, data);
    }

    fn config_write(&mut self, offset: u16, data: &[u8]) -> Vec<BarChange> {
        let changes = self.config.write(offset, data);
        self.msix.config_written(&self.config).unwrap();
        changes
    }

    fn bars(&self) -> Vec<(Bar, u64, Option<u64>)> {
        self.config.bars()
    }

    fn bar_moved(&mut self, _change: BarChange) {}

    fn bar_read(&mut self, bar: Bar, offset: u64, data: &mut [u8]) {
        if bar == Bar(0) && offset < 0x800 {
            self.msix.table_read(offset, data);
        }
    }

    fn bar_write(&mut self, bar: Bar, offset: u64, data: &[u8]) {
        if bar == Bar(0) && offset < 0x800 {
            self.msix.table_write(offset, data).unwrap();
        }
    }

    fn unplug(&mut self) {}
}

/// A machine that runs on threads of its own. Dropping it ends it.
struct Guest {
    board: Board,
    generation: GenerationId,
    stops: Receiver<Stop>,
    kickers: Vec<Kicker>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Guest {
    fn start(test: &str, command_line: &str) -> Option<Self> {
        let (kernel, kvm) = needs(test)?;
        allow_kicks().unwrap();
        let layout = Layout::new(RAM_BYTES).unwrap();
        let ram = memory::map(&layout).unwrap();
        let vm = Vm::new(kvm.into(), ram.clone()).unwrap();
        let interrupts = Interrupts::new(&vm);
        let generation = GenerationId::new(&ram, &interrupts).unwrap();
        // Live, so that a guest that hangs can be seen doing so.
        let console = io::stderr().as_fd().try_clone_to_owned().unwrap();
        let board = Board::new(&layout, Some(console.into()));
        let plain = Plain::new(&interrupts);
        assert_eq!(board.add(Box::new(plain)).unwrap().device, 1);
        acpi::write(&ram, &layout, PROCESSORS).unwrap();
        let command_line = format!("console=ttyS0 {command_line}");
        let payload = Payload {
            kernel: &kernel,
            initrd: None,
            command_line: &command_line,
        };
        let entry = boot::load(&ram, &layout, &payload).unwrap();
        let model = ProcessorModel::new(&vm, PROCESSORS).unwrap();
        let mut processors: Vec<_> = (0..PROCESSORS)
            .map(|id| Processor::new(&vm, &model, id).unwrap())
            .collect();
        processors[0].start_at(&entry).unwrap();
        let kickers = processors.iter().map(Processor::kicker).collect();
        let (sender, stops) = mpsc::channel();
        let threads = processors
            .into_iter()
            .map(|processor| {
                let (sender, board) = (sender.clone(), board.clone());
                thread::spawn(move || run(processor, &board, &sender))
            })
            .collect();
        Some(Self {
            board,
            generation,
            stops,
            kickers,
            threads,
        })
    }

    fn until_stop(self) -> (Stop, String) {
        let stop = self.stops.recv_timeout(DEADLINE).unwrap();
        println!("stopped: {stop}");
        (stop, self.log())
    }

    fn until_log(&self, text: &str) {
        let started = Instant::now();
        while !self.log().contains(text) {
            assert!(started.elapsed() < DEADLINE, "the log never says {text}");
            let stop = self.stops.recv_timeout(LOOK_AGAIN);
            assert_eq!(stop, Err(RecvTimeoutError::Timeout), "waiting for {text}");
        }
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&self.board.console_tail()).into_owned()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.kickers.iter().for_each(Kicker::kick);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

/// Until the machine stops or this one is kicked, which only happens at the end.
fn run(mut processor: Processor, board: &Board, stops: &Sender<Stop>) {
    processor.bind_to_this_thread();
    loop {
        let exit = processor.run().unwrap();
        let kicked = matches!(exit, Exit::Interrupted);
        if let Verdict::Stop(stop) = board.answer(exit) {
            stops.send(stop).ok();
            break;
        }
        if kicked {
            break;
        }
    }
    println!("exits: {:?}", processor.counts().totals());
}

fn needs(test: &str) -> Option<(File, File)> {
    let skip = |what: &str| {
        println!("skip {test}: {what}");
        None
    };
    let Ok(path) = env::var("COFFERDAM_TEST_KERNEL") else {
        return skip("COFFERDAM_TEST_KERNEL does not name a kernel");
    };
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    if !processor.contains(" svm") && !processor.contains(" vmx") {
        return skip("the processor has no SVM and no VMX; run me in the test host");
    }
    let Ok(kvm) = File::options().read(true).write(true).open("/dev/kvm") else {
        return skip("there is no /dev/kvm to open");
    };
    Some((File::open(path).unwrap(), kvm))
}
