//! Devices that the host puts on the PCI bus of a running guest, and takes off it. There is no hot-plug interrupt: the host asks,
//! the agent has the kernel rescan the bus, and answers when the driver has the device.

use std::{
    fmt,
    fs::{self, File},
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use nix::sys::socket::{
    self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::timeout,
};

use crate::{
    fault::{Fault, FaultKind},
    start::blocking,
    sys,
};

const BUS: &str = "/sys/bus/pci";

/// Device type of a virtio disk (virtio 1.3, section 5.2).
const VIRTIO_BLOCK: &str = "0x0002";
/// PCI class of a controller of NVMe (NVM Express over PCIe Transport 1.1, 3.1.1.6).
const NVME: &str = "0x010802";

/// A place on the guest's PCI buses: "0000:00:03.0".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PciAddress {
    domain: u16,
    bus: u8,
    device: u8,
    function: u8,
}

impl FromStr for PciAddress {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        parse(text).ok_or_else(|| {
            Fault::invalid(format!(
                "{text:?} is no PCI address; one looks like 0000:00:03.0"
            ))
        })
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            domain,
            bus,
            device,
            function,
        } = self;
        write!(
            formatter,
            "{domain:04x}:{bus:02x}:{device:02x}.{function:x}"
        )
    }
}

impl PciAddress {
    fn folder(self) -> PathBuf {
        Path::new(BUS).join("devices").join(self.to_string())
    }
}

/// What the kernel says of devices that come, change and go.
#[derive(Debug)]
pub(crate) struct Changes {
    events: AsyncFd<File>,
}

impl Changes {
    /// Listens, and then has the kernel look at the PCI bus again: what it finds there is not missed.
    pub(crate) async fn after_rescan() -> Result<Self, Fault> {
        let events = kernel_events().map_err(listening)?;
        blocking(|| {
            fs::write(Path::new(BUS).join("rescan"), "1").map_err(|error| {
                Fault::new(FaultKind::Internal, format!("rescan the PCI bus: {error}"))
            })
        })
        .await?;
        Ok(Self { events })
    }

    /// Waits for the next one. Set a deadline around it.
    pub(crate) async fn next(&self) -> Result<(), Fault> {
        let mut guard = self.events.readable().await.map_err(listening)?;
        drain(self.events.get_ref());
        guard.clear_ready();
        Ok(())
    }
}

/// Waits until the device there has its driver, and gives its block device. In words for a person it is `named`.
pub(crate) async fn add_disk(
    address: PciAddress,
    named: &str,
    deadline: Duration,
) -> Result<PathBuf, Fault> {
    let device = add(address, deadline).await?;
    device.ok_or_else(|| Fault::not_found(format!("{named} is no disk")))
}

/// Waits until the device there has its driver. For a disk: its block device.
pub(crate) async fn add(address: PciAddress, deadline: Duration) -> Result<Option<PathBuf>, Fault> {
    let changes = Changes::after_rescan().await?;
    match timeout(deadline, until_ready(address, &changes)).await {
        Ok(result) => result,
        Err(_elapsed) => {
            let there = if address.folder().exists() {
                "has no driver"
            } else {
                "did not appear"
            };
            let message = format!("the device at {address} {there} within {deadline:?}");
            Err(Fault::new(FaultKind::DeadlineExceeded, message))
        }
    }
}

/// Unbinds the device and takes it off the bus.
pub(crate) async fn remove(address: PciAddress) -> Result<(), Fault> {
    blocking(move || {
        fs::write(address.folder().join("remove"), "1").map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Fault::not_found(format!("no device at {address}")),
            _ => Fault::new(
                FaultKind::Internal,
                format!("remove the device at {address}: {error}"),
            ),
        })
    })
    .await
}

async fn until_ready(address: PciAddress, changes: &Changes) -> Result<Option<PathBuf>, Fault> {
    loop {
        match look(&address.folder()) {
            Ok(Some(block_device)) => return Ok(block_device),
            Ok(None) => {}
            // sysfs entries come and go under the reader; what is wrong for good runs into the deadline.
            Err(_changing) => {}
        }
        changes.next().await?;
    }
}

/// None: not ready yet. Some(None): ready, and no disk.
fn look(folder: &Path) -> io::Result<Option<Option<PathBuf>>> {
    if !folder.join("driver").exists() {
        return Ok(None);
    }
    if fs::read_to_string(folder.join("class"))?.trim() == NVME {
        return namespace(&folder.join("nvme"));
    }
    let Some(virtio) = child(folder, "virtio")? else {
        return Ok(Some(None));
    };
    if !virtio.join("driver").exists() {
        return Ok(None);
    }
    if fs::read_to_string(virtio.join("device"))?.trim() != VIRTIO_BLOCK {
        return Ok(Some(None));
    }
    let Some(block) = child(&virtio.join("block"), "")? else {
        return Ok(None);
    };
    Ok(node_of(&block).map(Some))
}

/// The first namespace of a controller of NVMe. The driver begins before it knows of any.
fn namespace(folder: &Path) -> io::Result<Option<Option<PathBuf>>> {
    let Some(controller) = child(folder, "nvme")? else {
        return Ok(None);
    };
    let name = controller.file_name().unwrap_or_default();
    let namespace = child(&controller, &format!("{}n", name.to_string_lossy()))?;
    Ok(namespace.and_then(|block| node_of(&block)).map(Some))
}

fn node_of(block: &Path) -> Option<PathBuf> {
    let node = Path::new("/dev").join(block.file_name().unwrap_or_default());
    node.exists().then_some(node)
}

/// The first entry of a folder whose name begins so.
fn child(folder: &Path, prefix: &str) -> io::Result<Option<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// A socket that becomes readable when the kernel adds or changes a device (kobject events, netlink(7)).
fn kernel_events() -> io::Result<AsyncFd<File>> {
    const ALL_EVENTS: u32 = 1;
    let socket = socket::socket(
        AddressFamily::Netlink,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::NetlinkKObjectUEvent,
    )?;
    socket::bind(socket.as_raw_fd(), &NetlinkAddr::new(0, ALL_EVENTS))?;
    sys::watch(File::from(socket), Interest::READABLE)
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn listening(error: io::Error) -> Fault {
    Fault::new(FaultKind::Internal, format!("listen for devices: {error}"))
}

/// Only that something happened matters, not what. An overrun (ENOBUFS) is something, too.
fn drain(socket: &File) {
    let mut event = [0; 2048];
    while let Ok(1..) | Err(nix::Error::ENOBUFS) =
        socket::recv(socket.as_raw_fd(), &mut event, MsgFlags::empty())
    {}
}

fn parse(text: &str) -> Option<PciAddress> {
    let (domain, rest) = text.split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (device, function) = rest.split_once('.')?;
    let hex = |digits: &str, length: usize| {
        let digits = (digits.len() == length).then_some(digits)?;
        digits
            .chars()
            .all(|c| c.is_ascii_hexdigit())
            .then_some(())?;
        u16::from_str_radix(digits, 16).ok()
    };
    let address = PciAddress {
        domain: hex(domain, 4)?,
        bus: u8::try_from(hex(bus, 2)?).ok()?,
        device: u8::try_from(hex(device, 2)?).ok()?,
        function: u8::try_from(hex(function, 1)?).ok()?,
    };
    (address.device < 32 && address.function < 8).then_some(address)
}

#[cfg(test)]
mod tests;
