//! The connections by their local port. Main type: [`Table`]. Above: `muxer`.
//!
//! A port says where its connection is: `01 gggggggggggggggggggg ssssssssss`, a generation that counts up and a slot. So ports
//! never collide, a lookup is an index that the guest can't make slow, and an event or packet for a connection that is gone
//! finds nothing, though its slot is taken again.

#[cfg(test)]
mod tests;

use std::os::fd::OwnedFd;

use super::{connection::Connection, limits};

const FIRST_PORT: u32 = 0x4000_0000;
const SLOT_BITS: u32 = 10;
const GENERATIONS: u32 = 1 << 20;

/// Every connection there is.
#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Option<Connection>>,
    free: Vec<u16>,
    generation: u32,
}

impl Table {
    /// Starts at some generation: a guest that was restored from a snapshot may still send packets of connections that
    /// another process made, and they shall not meet new ones.
    pub(super) fn new(generation: u32) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            generation: generation % GENERATIONS,
        }
    }

    /// A connection for a client, in its greeting. `None` when there are as many as there may be: the client is closed.
    pub(super) fn add(&mut self, client: OwnedFd) -> Option<&mut Connection> {
        let slot = self.free.pop().or_else(|| self.new_slot())?;
        self.generation = (self.generation + 1) % GENERATIONS;
        let port = FIRST_PORT | (self.generation << SLOT_BITS) | u32::from(slot);
        let place = self.slots.get_mut(usize::from(slot))?;
        Some(place.insert(Connection::new(port, client)))
    }

    pub(super) fn get(&mut self, port: u32) -> Option<&mut Connection> {
        let connection = self.slots.get_mut(slot_of(port))?.as_mut()?;
        (connection.host_port() == port).then_some(connection)
    }

    /// Drops a connection and closes its client.
    pub(super) fn remove(&mut self, port: u32) {
        let slot = slot_of(port);
        if self.get(port).is_none() {
            return;
        }
        if let (Some(place), Ok(number)) = (self.slots.get_mut(slot), u16::try_from(slot)) {
            *place = None;
            self.free.push(number);
        }
    }

    /// The ports of all connections that fit. Allocates: for rare moments.
    pub(super) fn ports(&self, fits: impl Fn(&Connection) -> bool) -> Vec<u32> {
        let connections = self.slots.iter().flatten();
        let fitting = connections.filter(|connection| fits(connection));
        fitting.map(Connection::host_port).collect()
    }

    /// Every connection.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().flatten()
    }

    fn new_slot(&mut self) -> Option<u16> {
        let slot = u16::try_from(self.slots.len()).ok()?;
        if slot >= limits::CONNECTIONS {
            return None;
        }
        self.slots.push(None);
        Some(slot)
    }
}

fn slot_of(port: u32) -> usize {
    let slot = port & ((1 << SLOT_BITS) - 1);
    usize::try_from(slot).unwrap_or(usize::MAX)
}
