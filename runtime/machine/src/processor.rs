//! One virtual processor. Main types: [`Processor`], which one thread owns and runs, and [`Kicker`], with which another thread gets it
//! out of the guest. `cpuid` says what it is, `boot` where it starts, `board` answers its exits.
#![expect(
    unsafe_code,
    reason = "kvm_run is shared memory with unions, and signals are sent to threads"
)]

use std::{
    ptr::NonNull,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use kvm_bindings::{
    KVM_EXIT_FAIL_ENTRY, KVM_EXIT_HLT, KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_IO, KVM_EXIT_IO_OUT,
    KVM_EXIT_MMIO, KVM_EXIT_SHUTDOWN, KVM_EXIT_SYSTEM_EVENT, Msrs, kvm_msr_entry, kvm_run,
};
use kvm_ioctls::VcpuFd;
use vmm_sys_util::signal::{SIGRTMIN, register_signal_handler};

use crate::{
    boot::Entry,
    count::ExitCounts,
    cpuid::ProcessorModel,
    kvm::{KvmError, Vm, refused},
};

mod start;

/// A virtual processor, stopped. [`Processor::run`] runs it on the calling thread.
#[derive(Debug)]
pub struct Processor {
    fd: VcpuFd,
    run_bytes: usize,
    kicked: Arc<Kicked>,
    counts: Arc<ExitCounts>,
    /// The machine's memory and eventfds go with its last handle; a processor needs both.
    _vm: Vm,
}

/// Why a processor left the guest. Data of a read is to be filled in before the processor runs again; it comes in as all ones.
#[derive(Debug)]
pub enum Exit<'a> {
    /// `in`. Several elements of `width` bytes with a string instruction.
    PortRead {
        /// The port.
        port: u16,
        /// Bytes of each element.
        width: usize,
        /// All elements.
        data: &'a mut [u8],
    },
    /// `out`. Several elements of `width` bytes with a string instruction.
    PortWrite {
        /// The port.
        port: u16,
        /// Bytes of each element.
        width: usize,
        /// All elements.
        data: &'a [u8],
    },
    /// A read where no RAM is.
    MemoryRead {
        /// Guest address.
        address: u64,
        /// 1 to 8 bytes.
        data: &'a mut [u8],
    },
    /// A write where no RAM is.
    MemoryWrite {
        /// Guest address.
        address: u64,
        /// 1 to 8 bytes.
        data: &'a [u8],
    },
    /// `hlt` without an interrupt controller in the kernel; does not happen with one.
    Halt,
    /// Triple fault.
    Shutdown,
    /// KVM was told by the guest to stop the machine.
    SystemEvent {
        /// KVM_SYSTEM_EVENT_*.
        kind: u32,
    },
    /// KVM can't go on.
    InternalError {
        /// KVM_INTERNAL_ERROR_*.
        kind: u32,
    },
    /// The hardware refused the processor's state.
    FailedEntry {
        /// The hardware's reason.
        reason: u64,
    },
    /// A [`Kicker`] or a signal; the owner looks at what it was told and may run again.
    Interrupted,
    /// One that KVM only makes for those who asked for it.
    Other {
        /// KVM_EXIT_*.
        reason: u32,
    },
}

impl Processor {
    /// Makes the processor with this id, waiting for the boot processor to start it.
    ///
    /// # Errors
    /// When KVM refuses.
    pub fn new(vm: &Vm, model: &ProcessorModel, id: u32) -> Result<Self, KvmError> {
        let mut fd = vm
            .fd()
            .create_vcpu(id.into())
            .map_err(refused("create a virtual processor"))?;
        // The leaves first: MSRs depend on them, and Linux 6.13 and newer hold them to that.
        fd.set_cpuid2(&model.leaves(id)?)
            .map_err(refused("set the processor's features"))?;
        set_msrs(&fd)?;
        let immediate_exit = NonNull::from(&mut fd.get_kvm_run().immediate_exit);
        Ok(Self {
            fd,
            run_bytes: vm.fd().run_size(),
            kicked: Arc::new(Kicked {
                target: Mutex::new(Target {
                    immediate_exit: Some(ImmediateExit(immediate_exit)),
                    thread: None,
                }),
            }),
            counts: Arc::default(),
            _vm: vm.clone(),
        })
    }

    /// Makes this the boot processor: it starts in the kernel that was loaded.
    ///
    /// # Errors
    /// When KVM refuses.
    pub fn start_at(&mut self, entry: &Entry) -> Result<(), KvmError> {
        start::at(&self.fd, entry)
    }

    /// A handle that interrupts [`Processor::run`] from another thread.
    #[must_use]
    pub fn kicker(&self) -> Kicker {
        Kicker(Arc::clone(&self.kicked))
    }

    /// Counts of the exits so far; they go on counting while the processor runs.
    #[must_use]
    pub fn counts(&self) -> Arc<ExitCounts> {
        Arc::clone(&self.counts)
    }

    /// Says that the calling thread is the one that will run the processor, so that kicks reach it. Once per thread, before the
    /// first [`Processor::run`].
    pub fn bind_to_this_thread(&mut self) {
        // SAFETY: gettid has no preconditions.
        let thread = unsafe { libc::gettid() };
        self.kicked.lock().thread = Some(thread);
    }

    /// Runs the guest until it needs something, or until it is kicked. A kick that comes before counts.
    ///
    /// # Errors
    /// When KVM refuses to run it; it can't go on then.
    pub fn run(&mut self) -> Result<Exit<'_>, KvmError> {
        loop {
            match self.fd.run().map(drop) {
                Ok(()) => break,
                // A processor that waits to be started was woken and is not to run yet (KVM_RUN in the kernel's api.rst).
                Err(error) if error.errno() == libc::EAGAIN => {}
                Err(error) if error.errno() == libc::EINTR => {
                    self.kicked.clear();
                    self.counts.interrupted();
                    return Ok(Exit::Interrupted);
                }
                Err(source) => {
                    return Err(KvmError::Refused {
                        attempt: "run a virtual processor",
                        source,
                    });
                }
            }
        }
        let run_bytes = self.run_bytes;
        let exit = decode(self.fd.get_kvm_run(), run_bytes);
        self.counts.count(&exit);
        Ok(exit)
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        let mut target = self.kicked.lock();
        target.immediate_exit = None;
        target.thread = None;
    }
}

/// MSRs that the kernel would otherwise have from firmware.
fn set_msrs(fd: &VcpuFd) -> Result<(), KvmError> {
    const MISC_ENABLE: u32 = 0x1a0;
    const FAST_STRINGS: u64 = 1;
    const MTRR_DEFAULT_TYPE: u32 = 0x2ff;
    const MTRR_ON_WRITE_BACK: u64 = 1 << 11 | 6;
    let wanted = [
        (MISC_ENABLE, FAST_STRINGS),
        (MTRR_DEFAULT_TYPE, MTRR_ON_WRITE_BACK),
    ];
    let entries = wanted.map(|(index, data)| kvm_msr_entry {
        index,
        data,
        ..Default::default()
    });
    let refuse = |errno| KvmError::Refused {
        attempt: "set the processor's MSRs",
        source: kvm_ioctls::Error::new(errno),
    };
    let msrs = Msrs::from_entries(&entries).map_err(|_too_many| refuse(libc::E2BIG))?;
    let set = fd.set_msrs(&msrs).map_err(|error| refuse(error.errno()))?;
    if set == wanted.len() {
        Ok(())
    } else {
        Err(refuse(libc::EINVAL))
    }
}

fn decode(run: &mut kvm_run, run_bytes: usize) -> Exit<'_> {
    match run.exit_reason {
        KVM_EXIT_IO => port_access(run, run_bytes),
        KVM_EXIT_MMIO => memory_access(run),
        KVM_EXIT_HLT => Exit::Halt,
        KVM_EXIT_SHUTDOWN => Exit::Shutdown,
        KVM_EXIT_SYSTEM_EVENT => Exit::SystemEvent {
            // SAFETY: the exit reason says that KVM filled in this member.
            kind: unsafe { run.__bindgen_anon_1.system_event }.type_,
        },
        KVM_EXIT_INTERNAL_ERROR => Exit::InternalError {
            // SAFETY: the exit reason says that KVM filled in this member.
            kind: unsafe { run.__bindgen_anon_1.internal }.suberror,
        },
        KVM_EXIT_FAIL_ENTRY => Exit::FailedEntry {
            // SAFETY: the exit reason says that KVM filled in this member.
            reason: unsafe { run.__bindgen_anon_1.fail_entry }.hardware_entry_failure_reason,
        },
        reason => Exit::Other { reason },
    }
}

fn port_access(run: &mut kvm_run, run_bytes: usize) -> Exit<'_> {
    // SAFETY: the exit reason says that KVM filled in this member.
    let access = unsafe { run.__bindgen_anon_1.io };
    let width = usize::from(access.size);
    let length = usize::try_from(access.count)
        .unwrap_or(usize::MAX)
        .saturating_mul(width);
    let offset = usize::try_from(access.data_offset).unwrap_or(usize::MAX);
    // The kernel is trusted, but a range outside the mapping would be undefined behaviour here and not an error.
    assert!(
        offset
            .checked_add(length)
            .is_some_and(|end| end <= run_bytes),
        "KVM's data lies in the mapping it made for this processor"
    );
    let start = std::ptr::from_mut(run).cast::<u8>();
    // SAFETY: offset lies in the mapping of `run_bytes` bytes that `run` starts, just checked.
    let start = unsafe { start.add(offset) };
    // SAFETY: 1. the range is in the mapping, just checked; 2. the borrow of `run` keeps everybody else away, and the kernel only
    // writes during KVM_RUN; 3. any byte is a valid u8.
    let data = unsafe { std::slice::from_raw_parts_mut(start, length) };
    if u32::from(access.direction) == KVM_EXIT_IO_OUT {
        return Exit::PortWrite {
            port: access.port,
            width,
            data,
        };
    }
    data.fill(0xff);
    Exit::PortRead {
        port: access.port,
        width,
        data,
    }
}

fn memory_access(run: &mut kvm_run) -> Exit<'_> {
    // SAFETY: the exit reason says that KVM filled in this member.
    let access = unsafe { &mut run.__bindgen_anon_1.mmio };
    let length = usize::try_from(access.len).unwrap_or(usize::MAX);
    let length = length.min(access.data.len());
    let data = &mut access.data[..length];
    if access.is_write != 0 {
        return Exit::MemoryWrite {
            address: access.phys_addr,
            data,
        };
    }
    data.fill(0xff);
    Exit::MemoryRead {
        address: access.phys_addr,
        data,
    }
}

/// Lets signals of [`Kicker`] interrupt a thread instead of ending the process. Once per process, before the first kick.
///
/// # Errors
/// When the kernel refuses.
pub fn allow_kicks() -> Result<(), KvmError> {
    extern "C" fn nothing(
        _number: libc::c_int,
        _information: *mut libc::siginfo_t,
        _context: *mut libc::c_void,
    ) {
    }
    // Without SA_RESTART, so that KVM_RUN and other waits of the thread come back with EINTR.
    register_signal_handler(SIGRTMIN(), nothing).map_err(|error| KvmError::Refused {
        attempt: "set the handler of the signal that interrupts processors",
        source: error,
    })
}

/// Gets a processor out of the guest. Cheap to clone; does nothing once the processor is gone.
#[derive(Debug, Clone)]
pub struct Kicker(Arc<Kicked>);

impl Kicker {
    /// Makes the present [`Processor::run`], or the next one if there is none, return [`Exit::Interrupted`]. What the processor's
    /// thread is to look at then must be set before.
    pub fn kick(&self) {
        let target = self.0.lock();
        let Some(ImmediateExit(immediate_exit)) = target.immediate_exit else {
            return;
        };
        // SAFETY: 1. it points into the processor's mapping, which lives as long as the pointer is in `target`, and `target` is
        // locked; 2. every access from this process is atomic, or made by the owner between runs to other members.
        let immediate_exit = unsafe { AtomicU8::from_ptr(immediate_exit.as_ptr()) };
        immediate_exit.store(1, Ordering::SeqCst);
        let Some(thread) = target.thread else {
            return;
        };
        let process = std::process::id();
        // SAFETY: tgkill has no preconditions; the thread is of this process and can't have ended, for it owns the processor and
        // `target` would be empty.
        unsafe { libc::syscall(libc::SYS_tgkill, process, thread, SIGRTMIN()) };
    }
}

#[derive(Debug)]
struct Kicked {
    target: Mutex<Target>,
}

#[derive(Debug)]
struct Target {
    immediate_exit: Option<ImmediateExit>,
    thread: Option<libc::pid_t>,
}

/// Points to a byte of the kvm_run mapping.
#[derive(Debug, Clone, Copy)]
struct ImmediateExit(NonNull<u8>);

// SAFETY: the byte is only reached through atomics under the lock of `Kicked`, from whichever thread.
unsafe impl Send for ImmediateExit {}

impl Kicked {
    fn lock(&self) -> std::sync::MutexGuard<'_, Target> {
        // Each change is one assignment; a thread that panicked left nothing half done.
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clear(&self) {
        if let Some(ImmediateExit(immediate_exit)) = self.lock().immediate_exit {
            // SAFETY: as in `kick`.
            let immediate_exit = unsafe { AtomicU8::from_ptr(immediate_exit.as_ptr()) };
            immediate_exit.store(0, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests;
