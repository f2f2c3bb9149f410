//! The state in which PVH wants the boot processor (Xen, docs/misc/pvh.pandoc): 32-bit protected mode, flat segments, no paging,
//! EBX at the start info. Called by [`Processor`](super::Processor).

use kvm_bindings::{kvm_regs, kvm_segment};
use kvm_ioctls::VcpuFd;

use crate::{
    boot::Entry,
    kvm::{KvmError, refused},
};

const CR0_PROTECTED: u64 = 1;
const CR0_EXTENSION_TYPE: u64 = 1 << 4;
/// The bit of RFLAGS that is always set.
const RFLAGS_RESERVED: u64 = 2;

pub(super) fn at(fd: &VcpuFd, entry: &Entry) -> Result<(), KvmError> {
    let code = flat(0b1011, 0x8);
    let data = flat(0b0011, 0x10);
    let mut system = fd
        .get_sregs()
        .map_err(refused("read the boot processor's state"))?;
    system.cs = code;
    for segment in [
        &mut system.ds,
        &mut system.es,
        &mut system.fs,
        &mut system.gs,
        &mut system.ss,
    ] {
        *segment = data;
    }
    system.cr0 = CR0_PROTECTED | CR0_EXTENSION_TYPE;
    system.cr4 = 0;
    system.efer = 0;
    fd.set_sregs(&system)
        .map_err(refused("set the boot processor's state"))?;
    fd.set_regs(&kvm_regs {
        rip: entry.address.into(),
        rbx: entry.start_info,
        rflags: RFLAGS_RESERVED,
        ..Default::default()
    })
    .map_err(refused("set the boot processor's registers"))
}

fn flat(kind: u8, selector: u16) -> kvm_segment {
    kvm_segment {
        base: 0,
        limit: u32::MAX,
        selector,
        type_: kind,
        present: 1,
        db: 1,
        s: 1,
        g: 1,
        ..Default::default()
    }
}
