//! The mapping of one range of RAM. Used by [`map`](super::map) and by `boot`, which knows what will be touched anyway.
#![expect(
    unsafe_code,
    reason = "mmap at an address of our choice, and madvise, have no safe form"
)]

use std::{io, ops::Range, ptr};

use vm_memory::{
    GuestAddress, GuestMemoryBackend, GuestRegionMmap, MmapRegion,
    mmap::{MmapRegionBuilder, MmapRegionError},
};

use super::{GuestRam, HUGE_PAGE_BYTES};

const PROTECTION: i32 = libc::PROT_READ | libc::PROT_WRITE;
const FLAGS: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;

/// Maps RAM for guest addresses from `start` on, a multiple of a huge page. The mapping begins at a multiple of a huge page, too, so that
/// host and guest can agree on huge pages; it lives as long as the process, as a machine does.
pub(super) fn map(start: u64, bytes: usize) -> Result<GuestRegionMmap<()>, MmapRegionError> {
    let huge = usize::try_from(HUGE_PAGE_BYTES).unwrap_or(usize::MAX);
    let failed = || MmapRegionError::Mmap(io::Error::last_os_error());
    let length = bytes
        .checked_add(huge)
        .ok_or(MmapRegionError::InvalidPointer)?;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nothing that is there.
    let whole = unsafe { libc::mmap(ptr::null_mut(), length, PROTECTION, FLAGS, -1, 0) };
    if whole == libc::MAP_FAILED {
        return Err(failed());
    }
    let before = whole.addr().wrapping_neg() % huge;
    let aligned = whole.cast::<u8>().wrapping_add(before);
    let after = aligned.wrapping_add(bytes);
    if before > 0 {
        // SAFETY: (1) these bytes are of the mapping just made, of which nobody else knows; (2) they end where RAM begins.
        let unmapped = unsafe { libc::munmap(whole, before) };
        debug_assert_eq!(unmapped, 0, "what was mapped can be unmapped");
    }
    // SAFETY: (1) as above; (2) they begin where RAM ends: `before` is less than a huge page, so there is something behind it.
    let unmapped = unsafe { libc::munmap(after.cast(), huge - before) };
    debug_assert_eq!(unmapped, 0, "what was mapped can be unmapped");
    let builder = MmapRegionBuilder::new(bytes)
        .with_mmap_prot(PROTECTION)
        .with_mmap_flags(FLAGS);
    // SAFETY: `aligned` starts a mapping of `bytes` bytes that is never unmapped.
    let builder = unsafe { builder.with_raw_mmap_pointer(aligned) };
    let region: MmapRegion = builder.build()?;
    GuestRegionMmap::new(region, GuestAddress(start)).ok_or(MmapRegionError::InvalidPointer)
}

/// Asks the host to back the huge pages that lie in `range` as a whole with huge pages. For ranges of which all is about to be written:
/// then it costs no memory, and a page fault of host and guest each for 2 MiB instead of for 4 KiB. A host that does not, does not.
pub(crate) fn expect_all_of(ram: &GuestRam, range: &Range<u64>) {
    let start = range.start.next_multiple_of(HUGE_PAGE_BYTES);
    let end = range.end - range.end % HUGE_PAGE_BYTES;
    let Some(length) = end
        .checked_sub(start)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .filter(|length| *length > 0)
    else {
        return;
    };
    let Ok(slice) = ram.get_slice(GuestAddress(start), length) else {
        return;
    };
    let guard = slice.ptr_guard_mut();
    // SAFETY: the range is guest memory that stays mapped; the advice does not change its content.
    let advised = unsafe { libc::madvise(guard.as_ptr().cast(), length, libc::MADV_HUGEPAGE) };
    // EINVAL where the host's kernel has no transparent huge pages: then they are small.
    let _small = advised;
}
