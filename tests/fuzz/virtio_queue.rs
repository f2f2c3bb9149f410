//! Walks a ring that a hostile driver built, and answers what comes out: no panic, no endless loop, nothing outside memory.

#![no_main]

mod guest;

use guest::Guest;
use libfuzzer_sys::fuzz_target;
use virtio::{
    backend::BackendError,
    queue::{Ring, chain::Chain},
};

/// More turns than the largest queue has entries: the used ring may lie over the available one, and refill it.
const MOST_TURNS: usize = 1024;

fuzz_target!(|bytes: &[u8]| {
    if let Some(guest) = Guest::new(bytes) {
        let mut ring = Ring::over(0, guest.memory, guest.queue, guest.notifier);
        let mut chain = ring.chain();
        for _ in 0..MOST_TURNS {
            if !turn(&mut ring, &mut chain).unwrap_or(false) {
                break;
            }
        }
    }
});

/// Answers one request; false when there is none.
fn turn(ring: &mut Ring, chain: &mut Chain) -> Result<bool, BackendError> {
    if !ring.pop(chain)? {
        ring.signal()?;
        return ring.arm();
    }
    let (readable, writable) = (chain.readable.len(), chain.writable.len());
    // What the walk promises: the sum of the lengths fits 32 bits, and all of it can be reached.
    let total = u32::try_from(readable + writable).expect("no more than 32 bits");
    let mut header = [0; 16];
    assert_eq!(
        chain.readable.copy_to(0, &mut header).is_ok(),
        readable >= 16
    );
    let mut last = [0];
    assert!(chain.readable.copy_to(readable, &mut last).is_err());
    if let Some(end) = readable.checked_sub(1) {
        chain
            .readable
            .copy_to(end, &mut last)
            .expect("the last byte");
    }
    if let Some(end) = writable.checked_sub(1) {
        chain.writable.copy_from(end, &last).expect("the last byte");
        let some = writable.min(300);
        chain
            .writable
            .fill_with_random(0..some)
            .expect("random bytes");
    }
    assert!(chain.writable.copy_from(writable, &last).is_err());
    ring.push(chain.head(), total)?;
    ring.signal()?;
    Ok(true)
}
