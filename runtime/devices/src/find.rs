//! Names → PCI functions: what a kubelet, a claim or a person calls a device, looked up in CDI and sysfs. Main types: [`Wanted`],
//! who asks for what; [`Finder`]; [`Findings`]. Below: `cdi`, `sysfs`, `node`. Above: whoever starts a pod, in time.
//!
//! Most devices of a node are not VFIO's: a name that leads nowhere is left alone with the reason, for a container's own devices
//! to deal with. It is an error where it can only be VFIO's: a node below /dev/vfio that leads to no function, a resource that the
//! operator says is VFIO's, a name that a person wrote. What two names lead to is found once.

mod node;

use std::collections::BTreeSet;

use model::Fault;

use crate::{
    address::PciAddress,
    cdi::{Cdi, CdiDevice, CdiError},
    sysfs::{Host, SysfsError},
};

pub use node::NodeError;

use node::VfioNode;

/// A device that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Who is to have it; empty for the whole pod.
    pub container: String,
    pub name: Name,
}

/// What a device is called, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// By a device plugin: a resource, such as nvidia.com/pgpu, and one of its IDs.
    Plugin { resource: String, id: String },
    /// By a driver of Dynamic Resource Allocation: a CDI name.
    Claim(String),
    /// By a person, in an annotation: a CDI name, a PCI address, a node of /dev/vfio or its last part.
    Annotation(String),
    /// By a container: the path of a device node on the host.
    Node(String),
}

/// What was found, in the order in which it was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub functions: Vec<Found>,
    pub ignored: Vec<Ignored>,
}

/// A function that is wanted.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    pub address: PciAddress,
    /// Who is to have it; one that is empty stands for the whole pod.
    pub containers: BTreeSet<String>,
}

/// A name that is none of VFIO's.
#[derive(Debug, PartialEq, Eq)]
pub struct Ignored {
    pub name: String,
    pub reason: String,
}

/// A VFIO device that can't be resolved.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    #[error("resolve the VFIO device {name}")]
    Node { name: String, source: NodeError },
    #[error("resolve the device {name}")]
    Sysfs { name: String, source: SysfsError },
    #[error("resolve the device {name}")]
    Cdi { name: String, source: CdiError },
    #[error(
        "{reason}, and it is neither a PCI address nor a number or name of VFIO's: have its device plugin write a CDI file, or take {resource} \
         from the VFIO resources"
    )]
    Form { reason: String, resource: String },
    #[error(
        "{name} may be /dev/vfio/devices/{cdev}, which is {of_cdev}, or IOMMU group {group}, which is {of_group}: have its device plugin \
         write a CDI file that says which"
    )]
    Ambiguous {
        name: String,
        cdev: String,
        of_cdev: PciAddress,
        group: u32,
        of_group: String,
    },
    #[error(
        "{name} is {named} by its CDI file {file}, and {number} is also {node} of this host, which is {of_node}: have its device plugin write a \
         CDI file whose names are its IDs"
    )]
    Counted {
        name: String,
        named: String,
        file: String,
        number: u32,
        node: String,
        of_node: String,
    },
    #[error(
        "{name} is bound to {driver}, not to vfio-pci: bind it, as with `driverctl set-override {address} vfio-pci`"
    )]
    NotBound {
        name: String,
        address: PciAddress,
        driver: String,
    },
    #[error(
        "{name} is no name of a device: give a CDI name (VENDOR/CLASS=NAME), a PCI address (0000:41:00.0) or a node of /dev/vfio"
    )]
    Annotation { name: String },
    #[error("{name} leads to no VFIO device: its CDI file {file} names no node below /dev/vfio")]
    NotVfio { name: String, file: String },
}

impl Findings {
    /// These functions are wanted by this container, too; each stands once.
    fn add(&mut self, functions: &[PciAddress], container: &str) {
        for &address in functions {
            let known = self
                .functions
                .iter_mut()
                .find(|found| found.address == address);
            match known {
                Some(found) => drop(found.containers.insert(container.to_owned())),
                None => self.functions.push(Found {
                    address,
                    containers: BTreeSet::from([container.to_owned()]),
                }),
            }
        }
    }
}

impl FindError {
    /// Nothing here is a thing of the moment: files or bindings of the host have to change, or the name.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Annotation { .. } => Fault::Invalid,
            Self::Cdi { source, .. } => source.fault(),
            _ => Fault::HostUnfit,
        }
    }
}

/// What one name leads to.
enum Outcome {
    Functions(Vec<PciAddress>),
    Ignored(String),
}

/// Looks names up on one host.
#[derive(Debug)]
pub struct Finder<'a> {
    pub host: &'a Host,
    pub cdi: &'a Cdi,
    /// Resources that are VFIO's, as the operator says: a name, or the beginning of one that ends with `*`.
    pub resources: &'a [String],
}

impl Finder<'_> {
    /// The functions behind all names, each once.
    pub fn find(&self, wanted: &[Wanted]) -> Result<Findings, FindError> {
        let mut findings = Findings::default();
        for Wanted { container, name } in wanted {
            match self.resolve(name)? {
                Outcome::Functions(functions) => findings.add(&functions, container),
                Outcome::Ignored(reason) => {
                    let name = said(name);
                    findings.ignored.push(Ignored { name, reason });
                }
            }
        }
        Ok(findings)
    }

    fn resolve(&self, name: &Name) -> Result<Outcome, FindError> {
        match name {
            Name::Plugin { resource, id } => self.plugin(resource, id),
            Name::Claim(claim) => match self.lookup(claim)? {
                Some(device) => self.vfio_nodes(device),
                None => Ok(Outcome::Ignored(self.unknown(claim))),
            },
            Name::Annotation(text) => self.annotation(text),
            Name::Node(path) => self.node_path(path),
        }
    }

    fn plugin(&self, resource: &str, id: &str) -> Result<Outcome, FindError> {
        let ours = self.is_vfio_resource(resource);
        for name in cdi_names(resource, id) {
            if let Some(device) = self.lookup(&name)? {
                return match self.vfio_nodes(device)? {
                    Outcome::Ignored(_) if ours => Err(not_vfio(device)),
                    Outcome::Functions(functions) => self.not_counted(device, id, functions),
                    outcome => Ok(outcome),
                };
            }
        }
        let name = format!("{resource}={id}");
        if let Ok(address) = id.parse() {
            return match self.bound(&name, address) {
                // A network plugin's IDs are addresses, too.
                Err(error) if !ours => left_alone(error),
                outcome => outcome,
            };
        }
        match ours {
            false => Ok(Outcome::Ignored(self.unknown(&name))),
            true => self.number(&name, resource, id),
        }
    }

    /// A number names a CDI device, a cdev or a group. There are plugins whose CDI files count their devices from 0 while their IDs are
    /// groups: what the file says is taken only where no cdev and no group of this number is another device.
    fn not_counted(
        &self,
        device: &CdiDevice,
        id: &str,
        functions: Vec<PciAddress>,
    ) -> Result<Outcome, FindError> {
        let Some(number) = node::number(id.strip_prefix("vfio").unwrap_or(id)) else {
            return Ok(Outcome::Functions(functions));
        };
        let name = &device.name;
        let cdev = format!("vfio{number}");
        let of_cdev = match self.host.of_cdev(&cdev) {
            Err(SysfsError::NoCdev { .. }) => None,
            found => Some(vec![found.map_err(failed(name))?]),
        };
        let of_group = match id.starts_with("vfio") {
            true => None,
            false => node::vfio_group(self.host, number).map_err(failed(name))?,
        };
        let means = [
            (format!("{}/{cdev}", node::CDEVS), of_cdev),
            (format!("IOMMU group {number}"), of_group),
        ];
        let meant = |of: &Option<Vec<PciAddress>>| of.as_ref() == Some(&functions);
        if means.iter().any(|(_, of)| meant(of)) {
            return Ok(Outcome::Functions(functions));
        }
        match means.into_iter().find_map(|(node, of)| Some((node, of?))) {
            None => Ok(Outcome::Functions(functions)),
            Some((node, of_node)) => Err(FindError::Counted {
                name: name.clone(),
                named: node::list(&functions),
                file: device.file.display().to_string(),
                number,
                node,
                of_node: node::list(&of_node),
            }),
        }
    }

    fn bound(&self, name: &str, address: PciAddress) -> Result<Outcome, FindError> {
        let function = self.host.function(address).map_err(failed(name))?;
        if function.is_on_vfio() {
            return Ok(Outcome::Functions(vec![address]));
        }
        Err(FindError::NotBound {
            name: name.to_owned(),
            address,
            driver: function.driver.unwrap_or_else(|| "no driver".to_owned()),
        })
    }

    /// `8` or `vfio8` of a resource that is VFIO's: a cdev or a group, never a guess. Plugins strip the prefix in one mode and mean a
    /// group in the other.
    fn number(&self, name: &str, resource: &str, id: &str) -> Result<Outcome, FindError> {
        let digits = id.strip_prefix("vfio").unwrap_or(id);
        let Some(number) = node::number(digits) else {
            return Err(FindError::Form {
                reason: self.unknown(name),
                resource: resource.to_owned(),
            });
        };
        let cdev = format!("vfio{number}");
        if id.starts_with("vfio") {
            return self.node(name, &VfioNode::Cdev(cdev));
        }
        let of_cdev = match self.host.of_cdev(&cdev) {
            Err(SysfsError::NoCdev { .. }) => None,
            found => Some(found.map_err(failed(name))?),
        };
        let of_group = node::vfio_group(self.host, number).map_err(failed(name))?;
        match (of_cdev, of_group) {
            (Some(function), None) => Ok(Outcome::Functions(vec![function])),
            (Some(function), Some(group)) if group == [function] => Ok(Outcome::Functions(group)),
            (Some(of_cdev), Some(group)) => Err(FindError::Ambiguous {
                name: name.to_owned(),
                cdev,
                of_cdev,
                group: number,
                of_group: node::list(&group),
            }),
            (None, Some(group)) => Ok(Outcome::Functions(group)),
            (None, None) => Err(unresolved(name)(NodeError::NoSuch { number })),
        }
    }

    fn annotation(&self, text: &str) -> Result<Outcome, FindError> {
        if text.contains('=') {
            let device = self.cdi.device(text).map_err(|source| FindError::Cdi {
                name: text.to_owned(),
                source,
            })?;
            return match self.vfio_nodes(device)? {
                Outcome::Ignored(_) => Err(not_vfio(device)),
                outcome => Ok(outcome),
            };
        }
        if let Ok(address) = text.parse() {
            return self.bound(text, address);
        }
        let path = text.strip_prefix('/').map_or_else(
            || match text.starts_with("vfio") {
                true => format!("{}/{text}", node::CDEVS),
                false => format!("{}/{text}", node::GROUPS),
            },
            |_absolute| text.to_owned(),
        );
        match VfioNode::of(&path) {
            Some(node) => self.node(text, &node),
            None => Err(FindError::Annotation {
                name: text.to_owned(),
            }),
        }
    }

    fn node_path(&self, path: &str) -> Result<Outcome, FindError> {
        match VfioNode::of(path) {
            Some(node) => self.node(path, &node),
            None => Ok(Outcome::Ignored(format!("{path} is no device of VFIO's"))),
        }
    }

    /// What the nodes of a CDI device lead to.
    fn vfio_nodes(&self, device: &CdiDevice) -> Result<Outcome, FindError> {
        let mut functions = Vec::new();
        for entry in &device.edits.device_nodes {
            let Some(node) = VfioNode::of(entry.on_host()) else {
                continue;
            };
            node.check_numbers(self.host, entry, &device.file)
                .map_err(unresolved(&device.name))?;
            functions.extend(
                node.functions(self.host)
                    .map_err(unresolved(&device.name))?,
            );
        }
        if functions.is_empty() {
            let file = device.file.display();
            return Ok(Outcome::Ignored(format!(
                "its CDI file {file} names no node below /dev/vfio"
            )));
        }
        Ok(Outcome::Functions(functions))
    }

    fn node(&self, name: &str, node: &VfioNode) -> Result<Outcome, FindError> {
        let functions = node.functions(self.host).map_err(unresolved(name))?;
        Ok(Outcome::Functions(functions))
    }

    /// None where no file knows the name; a conflict is an error whoever asks.
    fn lookup(&self, name: &str) -> Result<Option<&CdiDevice>, FindError> {
        match self.cdi.device(name) {
            Ok(device) => Ok(Some(device)),
            Err(CdiError::Unknown { .. }) => Ok(None),
            Err(source) => Err(FindError::Cdi {
                name: name.to_owned(),
                source,
            }),
        }
    }

    fn unknown(&self, name: &str) -> String {
        let error = self.cdi.device(name).err();
        error.map_or_else(String::new, |error| error.to_string())
    }

    fn is_vfio_resource(&self, resource: &str) -> bool {
        self.resources
            .iter()
            .any(|known| match known.strip_suffix('*') {
                Some(beginning) => resource.starts_with(beginning),
                None => resource == known,
            })
    }
}

/// The CDI names that a plugin's resource and ID may stand for: some IDs are CDI names themselves, and versions of plugins differ in
/// whether a cdev's ID has its prefix.
fn cdi_names(resource: &str, id: &str) -> Vec<String> {
    if id.contains('=') {
        return vec![id.to_owned()];
    }
    let other = match id.strip_prefix("vfio") {
        Some(number) => number.to_owned(),
        None => format!("vfio{id}"),
    };
    let digits = other.strip_prefix("vfio").unwrap_or(&other);
    let mut names = vec![format!("{resource}={id}")];
    if node::number(digits).is_some() {
        names.push(format!("{resource}={other}"));
    }
    names
}

fn said(name: &Name) -> String {
    match name {
        Name::Plugin { resource, id } => format!("{resource}={id}"),
        Name::Claim(name) | Name::Annotation(name) | Name::Node(name) => name.clone(),
    }
}

/// What is no error where nobody says that a name is VFIO's.
fn left_alone(error: FindError) -> Result<Outcome, FindError> {
    match error {
        FindError::NotBound {
            address, driver, ..
        } => Ok(Outcome::Ignored(format!(
            "{address} is bound to {driver}, not to vfio-pci"
        ))),
        FindError::Sysfs {
            source: source @ SysfsError::NoFunction { .. },
            ..
        } => Ok(Outcome::Ignored(source.to_string())),
        error => Err(error),
    }
}

fn not_vfio(device: &CdiDevice) -> FindError {
    FindError::NotVfio {
        name: device.name.clone(),
        file: device.file.display().to_string(),
    }
}

fn unresolved(name: &str) -> impl FnOnce(NodeError) -> FindError + use<> {
    let name = name.to_owned();
    |source| FindError::Node { name, source }
}

fn failed(name: &str) -> impl FnOnce(SysfsError) -> FindError + use<> {
    let name = name.to_owned();
    |source| FindError::Sysfs { name, source }
}

#[cfg(test)]
mod tests;
