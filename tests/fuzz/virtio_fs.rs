//! A file system device between a hostile driver and a hostile server: no panic, no endless loop, and no packet to the server that is
//! no request.

#![no_main]

mod guest;

use guest::Guest;
use libfuzzer_sys::fuzz_target;
use rustix::{
    fd::OwnedFd,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair},
};
use virtio::{
    backend::Kick,
    device::{Activation, ActiveQueue, Device},
    fs::FileSystem,
};
use virtio_queue::{Queue, QueueT};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// How often the device has its turn.
const TURNS: usize = 4;

fuzz_target!(|bytes: &[u8]| {
    // How long the server's packet is, then the packet, then the guest.
    let [length, rest @ ..] = bytes else {
        return;
    };
    let (packet, rest) = rest.split_at(rest.len().min(usize::from(*length)));
    if let Some(guest) = Guest::new(rest) {
        serve(packet, guest);
    }
});

fn serve(packet: &[u8], guest: Guest) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
    let (ours, server) = pair.expect("make a pair of sockets");
    let active = |queue: Queue| ActiveQueue {
        queue,
        kick: Kick(EventFd::new(EFD_NONBLOCK).expect("make an eventfd")),
        notifier: guest.notifier.clone(),
    };
    // Both queues over the same rings: the stranger the better.
    let (size, used) = (guest.queue.size(), guest.queue.used_ring());
    let mut second = Queue::new(guest.queue.max_size()).expect("the first has the same");
    second.set_size(size);
    second.set_desc_table_address(Some(low(guest.queue.desc_table())), Some(0));
    second.set_avail_ring_address(Some(low(guest.queue.avail_ring())), Some(0));
    second.set_used_ring_address(Some(low(used)), Some(0));
    second.set_ready(true);
    let queues = vec![Some(active(guest.queue)), Some(active(second))];
    let activation = Activation {
        memory: guest.memory,
        features: 0,
        queues,
        config_changed: guest.notifier.clone(),
    };
    let mut device = FileSystem::new("fuzz", ours).expect("a socket of the right kind");
    let mut backend = device.activate(activation).expect("its queues are there");
    for _ in 0..TURNS {
        // An error is an answer too.
        if backend.run().is_err() {
            return;
        }
        answer(&server, packet);
    }
}

/// Answers what was asked: first truly, with the packet as a body, then with the packet as it is.
fn answer(server: &OwnedFd, packet: &[u8]) {
    let mut bytes = vec![0; 0x2_0000];
    // Nothing at all is the end: the device cuts a server off that breaks the rules.
    while let Ok((length, _)) = recv(server, &mut bytes[..], RecvFlags::DONTWAIT)
        && length > 0
    {
        assert!(
            (40..=68 << 10).contains(&length),
            "a packet of {length} bytes"
        );
        let mut reply = u32::try_from(16 + packet.len())
            .expect("short")
            .to_le_bytes()
            .to_vec();
        reply.extend([0; 4]);
        reply.extend(&bytes[8..16]);
        reply.extend(packet);
        send(server, &reply, SendFlags::NOSIGNAL).ok();
    }
    send(server, packet, SendFlags::NOSIGNAL).ok();
}

fn low(address: u64) -> u32 {
    u32::try_from(address).expect("guest memory is small")
}
