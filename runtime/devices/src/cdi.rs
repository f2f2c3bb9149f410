//! CDI: names such as `nvidia.com/pgpu=8` → what a driver says that they are on this host, from the JSON and YAML files that drivers
//! leave in /etc/cdi and /var/run/cdi. Main types: [`Cdi`], all files of a host; [`CdiDevice`], one name. Below: `spec`, one file.
//! Above: `find`.
//!
//! A later folder wins over an earlier one, as CDI has it; two files of one folder that say the same name conflict, which is an
//! error for who asks for that name and for nobody else. So is a file that can't be read: it may be what a name is missing from.

pub(crate) mod spec;
mod yaml;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use model::Fault;
use spec::Format;

pub use spec::{CdiMount, DeviceNode, Edits, Hook, SpecError};
pub use yaml::YamlError;

/// Where CDI files are, the last one first in rank.
pub const FOLDERS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// Largest file. A driver's for eight GPUs with all libraries has some 100 KiB.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// Most files of a folder.
const MAX_FILES: usize = 1000;

/// What all CDI files of a host say.
#[derive(Debug, Default)]
pub struct Cdi {
    names: BTreeMap<String, Entry>,
    broken: Vec<(PathBuf, CdiError)>,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CdiDevice {
    /// VENDOR/CLASS=NAME
    pub name: String,
    pub file: PathBuf,
    /// The device's own, then those of its file.
    pub edits: Edits,
}

#[derive(Debug)]
struct Entry {
    device: CdiDevice,
    rank: usize,
    /// Other files of the same rank that say the same name.
    rivals: Vec<PathBuf>,
}

/// Why a name or a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CdiError {
    #[error("no CDI file says what {name} is{broken}")]
    Unknown { name: String, broken: Broken },
    #[error(
        "{name} stands in {} and in {}: remove the one that is out of date", first.display(), second.display()
    )]
    Conflict {
        name: String,
        first: PathBuf,
        second: PathBuf,
    },
    #[error("read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} has more than {MAX_FILE_BYTES} bytes", path.display())]
    FileSize { path: PathBuf },
    #[error("{} has more than {MAX_FILES} files", path.display())]
    Files { path: PathBuf },
    #[error("understand {}", path.display())]
    Spec { path: PathBuf, source: SpecError },
}

impl CdiError {
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unknown { .. } => Fault::NotFound,
            _ => Fault::HostUnfit,
        }
    }
}

/// Files that could not be read, as the end of a sentence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Broken(Vec<PathBuf>);

impl std::fmt::Display for Broken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, path) in self.0.iter().enumerate() {
            let before = if index == 0 {
                "; not understood: "
            } else {
                ", "
            };
            write!(formatter, "{before}{}", path.display())?;
        }
        Ok(())
    }
}

impl Cdi {
    /// Reads all files of the folders; later ones win. A folder that is not there has no files.
    #[must_use]
    pub fn load(folders: &[PathBuf]) -> Self {
        let mut cdi = Self::default();
        for (rank, folder) in folders.iter().enumerate() {
            match files(folder) {
                Ok(files) => files.iter().for_each(|path| cdi.add(path, rank)),
                Err(error) => cdi.broken.push((folder.clone(), error)),
            }
        }
        cdi
    }

    /// The device of a name.
    pub fn device(&self, name: &str) -> Result<&CdiDevice, CdiError> {
        let entry = self.names.get(name).ok_or_else(|| CdiError::Unknown {
            name: name.to_owned(),
            broken: Broken(self.broken.iter().map(|(path, _)| path.clone()).collect()),
        })?;
        match entry.rivals.first() {
            None => Ok(&entry.device),
            Some(rival) => Err(CdiError::Conflict {
                name: name.to_owned(),
                first: entry.device.file.clone(),
                second: rival.clone(),
            }),
        }
    }

    /// All names, whether they conflict or not.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Files that could not be read, and why.
    #[must_use]
    pub fn broken(&self) -> &[(PathBuf, CdiError)] {
        &self.broken
    }

    fn add(&mut self, path: &Path, rank: usize) {
        let spec = match read(path) {
            Ok(spec) => spec,
            Err(error) => return self.broken.push((path.to_owned(), error)),
        };
        for device in spec.devices {
            let name = format!("{}={}", spec.kind, device.name);
            let device = CdiDevice {
                name: name.clone(),
                file: path.to_owned(),
                edits: device.container_edits.and(spec.container_edits.clone()),
            };
            self.insert(name, device, rank);
        }
    }

    fn insert(&mut self, name: String, device: CdiDevice, rank: usize) {
        match self.names.get_mut(&name) {
            Some(known) if known.rank == rank => known.rivals.push(device.file),
            _ => {
                let rivals = Vec::new();
                self.names.insert(
                    name,
                    Entry {
                        device,
                        rank,
                        rivals,
                    },
                );
            }
        }
    }
}

/// The files that may be specs, by name: folders below are not looked into.
fn files(folder: &Path) -> Result<Vec<PathBuf>, CdiError> {
    let failed = |source| CdiError::Read {
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        // A link that leads nowhere is told of; a folder or a pipe of such a name is none of CDI's, and a pipe would never end.
        let special = fs::metadata(&path).is_ok_and(|facts| !facts.is_file());
        if format_of(&path).is_some() && !special {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            let path = folder.to_owned();
            return Err(CdiError::Files { path });
        }
    }
    files.sort();
    Ok(files)
}

fn format_of(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()? {
        "json" => Some(Format::Json),
        "yaml" => Some(Format::Yaml),
        _ => None,
    }
}

fn read(path: &Path) -> Result<spec::Spec, CdiError> {
    let failed = |source| CdiError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text))
        .map_err(failed)?;
    if u64::try_from(text.len()).is_ok_and(|bytes| bytes > MAX_FILE_BYTES) {
        let path = path.to_owned();
        return Err(CdiError::FileSize { path });
    }
    let format = format_of(path).unwrap_or(Format::Json);
    spec::parse(&text, format).map_err(|source| CdiError::Spec {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
