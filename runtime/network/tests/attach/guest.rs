//! A guest, played at its tap. Main type: [`Guest`].

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use network::Tap;
use rustix::{
    event::{PollFd, PollFlags, poll},
    time::Timespec,
};

use crate::{frames, node::PATIENCE};

/// `struct virtio_net_hdr_v1`.
const HEADER_BYTES: usize = 12;

pub(crate) struct Guest<'a> {
    pub(crate) tap: &'a Tap,
}

impl Guest<'_> {
    pub(crate) fn send(&self, frame: &[u8]) {
        let packet = [&[0; HEADER_BYTES], frame].concat();
        let written = rustix::io::write(&self.tap.queues[0], &packet).unwrap();
        assert_eq!(written, packet.len());
    }

    /// The first frame that `is` accepts, on any queue.
    pub(crate) fn receive<T>(&self, what: &str, is: impl Fn(&[u8]) -> Option<T>) -> T {
        self.ask(&[], what, is)
    }

    /// Sends the question, if there is one, until the answer comes: an address that is still being probed for is nobody's yet
    /// (RFC 4862, section 5.4).
    fn ask<T>(&self, question: &[u8], what: &str, is: impl Fn(&[u8]) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < end, "{what} did not come");
            if !question.is_empty() {
                self.send(question);
            }
            let again = Instant::now() + Duration::from_secs(1);
            let mut frames =
                std::iter::from_fn(|| self.next(again.saturating_duration_since(Instant::now())));
            if let Some(found) = frames.find_map(|frame| is(&frame)) {
                return found;
            }
        }
    }

    fn next(&self, wait: Duration) -> Option<Vec<u8>> {
        let queues = self.tap.queues.iter();
        let mut polled: Vec<_> = queues
            .map(|queue| PollFd::new(queue, PollFlags::IN))
            .collect();
        let wait = Timespec::try_from(wait).unwrap();
        poll(&mut polled, Some(&wait)).unwrap();
        let ready = polled
            .iter()
            .position(|queue| queue.revents().contains(PollFlags::IN))?;
        let mut packet = vec![0; 65_536];
        let length = rustix::io::read(&self.tap.queues[ready], &mut packet).unwrap();
        packet.truncate(length);
        Some(packet.split_off(HEADER_BYTES.min(length)))
    }

    /// Finds its neighbour's Ethernet address and has an echo from it.
    pub(crate) fn ping(&self, own: IpAddr, neighbour: IpAddr) {
        let mac = self.tap.mac;
        let question = frames::solicit(mac, own, neighbour);
        let what = format!("the Ethernet address of {neighbour}");
        let to = self.ask(&question, &what, |frame| {
            frames::solicited(frame, neighbour)
        });
        let question = frames::ping(mac, to, own, neighbour);
        let what = format!("an echo of {neighbour}");
        self.ask(&question, &what, |frame| {
            frames::is_pong(frame, neighbour, own).then_some(())
        });
    }
}
