//! What the kernel says of PCI functions, IOMMU groups and VFIO's nodes: sysfs and /dev, below a root that tests put elsewhere. Main
//! types: [`Host`], which reads, and [`Function`], the facts of one function. Below: `bars`. Above: `find`, `preflight`.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    address::PciAddress,
    bars::{self, BadResource, Bar},
};

/// Largest file of sysfs that is read here: `resource` has 17 lines of 57 bytes at most.
const MAX_FILE_BYTES: usize = 4096;

/// Classes whose base and sub-class are these: host bridge and PCI-to-PCI bridge (PCI Code and ID Assignment). Others of
/// the bridges' base class are devices of their own: an NVSwitch is 0x0680.
const BRIDGES: [u32; 2] = [0x0600, 0x0604];

/// Where this host's files are.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
}

/// One PCI function of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Function {
    pub address: PciAddress,
    pub vendor: u16,
    pub device: u16,
    /// Base class, sub-class and programming interface, 24 bits.
    pub class: u32,
    pub driver: Option<String>,
    pub numa_node: Option<u32>,
    /// Memory BARs, in order.
    pub bars: Vec<Bar>,
    /// None without an IOMMU.
    pub group: Option<Group>,
    /// `vfioN`, the name of its node below /dev/vfio/devices.
    pub cdev: Option<String>,
    /// Which of VFIO's nodes for it are in /dev.
    pub cdev_node: bool,
    pub group_node: bool,
    /// False where configuration space reads as all ones: the function fell off the bus.
    pub answers: bool,
}

/// An IOMMU group: what can't be told apart in DMA, and so goes to one user only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    pub number: u32,
    /// All of it, the function itself too, by address.
    pub members: Vec<Member>,
}

/// A function in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    pub address: PciAddress,
    pub class: u32,
    pub driver: Option<String>,
}

/// What can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SysfsError {
    #[error("there is no PCI function {address} on this host")]
    NoFunction { address: PciAddress },
    #[error("there is no IOMMU group {group} on this host")]
    NoGroup { group: u32 },
    #[error("there is no VFIO device {name} on this host")]
    NoCdev { name: String },
    #[error("read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} says {text:?}, which is no {what}", path.display())]
    Meaning {
        path: PathBuf,
        text: String,
        what: &'static str,
    },
    #[error("read the BARs of {address}")]
    Bars {
        address: PciAddress,
        source: BadResource,
    },
}

impl Function {
    /// A bridge can't be given to a VM, whatever its driver.
    #[must_use]
    pub fn is_bridge(&self) -> bool {
        is_bridge(self.class)
    }

    /// Whether a driver of VFIO's has it.
    #[must_use]
    pub fn is_on_vfio(&self) -> bool {
        is_vfio_driver(self.driver.as_deref())
    }
}

impl Member {
    /// Whether a driver of VFIO's has it.
    #[must_use]
    pub fn is_on_vfio(&self) -> bool {
        is_vfio_driver(self.driver.as_deref())
    }

    #[must_use]
    pub fn is_bridge(&self) -> bool {
        is_bridge(self.class)
    }
}

/// vfio-pci, or one of its variants for a kind of device, such as nvgrace-gpu-vfio-pci and mlx5_vfio_pci.
fn is_vfio_driver(driver: Option<&str>) -> bool {
    driver.is_some_and(|driver| driver.contains("vfio"))
}

fn is_bridge(class: u32) -> bool {
    BRIDGES.contains(&(class >> 8))
}

impl Host {
    /// This host: `/`. A test's: a folder with `sys`, `dev` and `proc` in it.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// All PCI functions, by address.
    pub fn functions(&self) -> Result<Vec<PciAddress>, SysfsError> {
        self.addresses(&self.root.join("sys/bus/pci/devices"))
    }

    /// The facts of one function.
    pub fn function(&self, address: PciAddress) -> Result<Function, SysfsError> {
        let folder = self.folder(address);
        if !folder.exists() {
            return Err(SysfsError::NoFunction { address });
        }
        let group = link_name(&folder.join("iommu_group"))?;
        let group = match group {
            Some(number) => Some(self.group(self.group_number(&folder, &number)?)?),
            None => None,
        };
        let cdev = cdev_of(&folder)?;
        let bars = bars::parse(&read(&folder.join("resource"))?)
            .map_err(|source| SysfsError::Bars { address, source })?;
        Ok(Function {
            address,
            vendor: number16(&folder.join("vendor"))?,
            device: number16(&folder.join("device"))?,
            class: number(&folder.join("class"))?,
            driver: link_name(&folder.join("driver"))?,
            numa_node: numa_node(&folder.join("numa_node"))?,
            bars,
            cdev_node: cdev
                .as_ref()
                .is_some_and(|name| self.root.join("dev/vfio/devices").join(name).exists()),
            group_node: group
                .as_ref()
                .is_some_and(|group| self.group_node(group.number).exists()),
            cdev,
            group,
            answers: answers(&folder.join("config"))?,
        })
    }

    /// An IOMMU group with all its members.
    pub fn group(&self, number: u32) -> Result<Group, SysfsError> {
        let folder = self
            .root
            .join(format!("sys/kernel/iommu_groups/{number}/devices"));
        if !folder.exists() {
            return Err(SysfsError::NoGroup { group: number });
        }
        let members = self.addresses(&folder)?.into_iter().map(|address| {
            let folder = self.folder(address);
            Ok(Member {
                address,
                class: self::number(&folder.join("class"))?,
                driver: link_name(&folder.join("driver"))?,
            })
        });
        Ok(Group {
            number,
            members: members.collect::<Result<_, SysfsError>>()?,
        })
    }

    /// The function behind /dev/vfio/devices/`name`.
    pub fn of_cdev(&self, name: &str) -> Result<PciAddress, SysfsError> {
        let link = self.class_folder(name).join("device");
        let target = link_name(&link)?.ok_or_else(|| SysfsError::NoCdev {
            name: name.to_owned(),
        })?;
        target.parse().map_err(|_bad| SysfsError::Meaning {
            path: link,
            text: target,
            what: "PCI address",
        })
    }

    /// The major and minor number of /dev/vfio/devices/`name`.
    pub fn cdev_numbers(&self, name: &str) -> Result<(u32, u32), SysfsError> {
        let path = self.class_folder(name).join("dev");
        let text = read(&path)?;
        let numbers = text
            .trim()
            .split_once(':')
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        numbers.ok_or(SysfsError::Meaning {
            path,
            text,
            what: "device number",
        })
    }

    /// How many bits a physical address has, as the first processor says.
    pub fn phys_bits(&self) -> Result<u8, SysfsError> {
        let path = self.root.join("proc/cpuinfo");
        let text = fs::read_to_string(&path).map_err(|source| SysfsError::Read {
            path: path.clone(),
            source,
        })?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("address sizes"))
            .unwrap_or_default();
        let bits = line
            .split_whitespace()
            .find_map(|word| word.parse::<u8>().ok())
            .filter(|bits| (32..=64).contains(bits));
        bits.ok_or_else(|| SysfsError::Meaning {
            path,
            text: line.to_owned(),
            what: "number of address bits",
        })
    }

    fn folder(&self, address: PciAddress) -> PathBuf {
        self.root
            .join("sys/bus/pci/devices")
            .join(address.to_string())
    }

    fn class_folder(&self, cdev: &str) -> PathBuf {
        self.root.join("sys/class/vfio-dev").join(cdev)
    }

    fn group_node(&self, group: u32) -> PathBuf {
        self.root.join(format!("dev/vfio/{group}"))
    }

    fn group_number(&self, folder: &Path, text: &str) -> Result<u32, SysfsError> {
        text.parse().map_err(|_bad| SysfsError::Meaning {
            path: folder.join("iommu_group"),
            text: text.to_owned(),
            what: "number of an IOMMU group",
        })
    }

    /// The PCI addresses among the names in a folder: a group may have members that are not PCI.
    fn addresses(&self, folder: &Path) -> Result<Vec<PciAddress>, SysfsError> {
        let mut addresses: Vec<PciAddress> = names(folder)?
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        addresses.sort_unstable();
        Ok(addresses)
    }
}

/// `vfio-dev` is there while a driver of VFIO's has the function, on Linux 6.6 or newer with VFIO_DEVICE_CDEV.
fn cdev_of(folder: &Path) -> Result<Option<String>, SysfsError> {
    let folder = folder.join("vfio-dev");
    if !folder.exists() {
        return Ok(None);
    }
    Ok(names(&folder)?
        .into_iter()
        .find(|name| name.starts_with("vfio")))
}

/// -1 where the host does not say; no file where the kernel knows no NUMA.
fn numa_node(path: &Path) -> Result<Option<u32>, SysfsError> {
    if !path.exists() {
        return Ok(None);
    }
    match read(path)?.trim() {
        "-1" => Ok(None),
        text => match text.parse() {
            Ok(node) => Ok(Some(node)),
            Err(_bad) => Err(meaning(path, text, "NUMA node")),
        },
    }
}

/// The vendor is cached in its file, so it is read from the function itself: 0xffff is nobody's. No more is read: there are
/// functions that don't like it.
fn answers(path: &Path) -> Result<bool, SysfsError> {
    let mut vendor = [0; 2];
    File::open(path)
        .and_then(|mut config| config.read_exact(&mut vendor))
        .map_err(|source| SysfsError::Read {
            path: path.to_owned(),
            source,
        })?;
    Ok(vendor != [0xff, 0xff])
}

fn number16(path: &Path) -> Result<u16, SysfsError> {
    let number = number(path)?;
    u16::try_from(number).map_err(|_large| meaning(path, &format!("{number:#x}"), "16-bit number"))
}

fn number(path: &Path) -> Result<u32, SysfsError> {
    let text = read(path)?;
    let text = text.trim();
    let number = text
        .strip_prefix("0x")
        .and_then(|digits| u32::from_str_radix(digits, 16).ok());
    number.ok_or_else(|| meaning(path, text, "hexadecimal number"))
}

fn meaning(path: &Path, text: &str, what: &'static str) -> SysfsError {
    SysfsError::Meaning {
        path: path.to_owned(),
        text: text.to_owned(),
        what,
    }
}

/// The last name of what a link points to; none where there is no link.
fn link_name(path: &Path) -> Result<Option<String>, SysfsError> {
    match fs::read_link(path) {
        Ok(target) => Ok(target
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SysfsError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

fn names(folder: &Path) -> Result<Vec<String>, SysfsError> {
    let failed = |source| SysfsError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

fn read(path: &Path) -> Result<String, SysfsError> {
    Ok(String::from_utf8_lossy(&bytes(path)?).into_owned())
}

fn bytes(path: &Path) -> Result<Vec<u8>, SysfsError> {
    let mut bytes = fs::read(path).map_err(|source| SysfsError::Read {
        path: path.to_owned(),
        source,
    })?;
    bytes.truncate(MAX_FILE_BYTES);
    Ok(bytes)
}

#[cfg(test)]
mod tests;
