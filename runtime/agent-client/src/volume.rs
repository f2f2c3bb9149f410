//! A pod's volumes in the guest: the trees that are sent, the calls, and what a container mounts of them. Main types: [`TreeEntry`],
//! [`VolumeMount`].

use std::{fmt, path::PathBuf, time::Duration};

use agent::{
    MAX_VOLUME_BYTES, MAX_VOLUME_ENTRIES,
    agent::{self as wire, volume_entry::Kind},
};
use model::{HugePages, Mount, VolumeId};

use crate::{
    AgentError,
    call::{Agent, context_of, milliseconds, within},
    deadlines::ATTEMPT_DEADLINE,
    request::ImageFile,
};

/// Content and names of one part of a tree, in bytes: far below ttrpc's limit of 4 MiB.
const PART_BYTES: usize = 1 << 20;

/// What an entry weighs beside its names and content.
const ENTRY_BYTES: usize = 64;

/// Largest content of the files of a tree, in bytes.
pub const MOST_TREE_BYTES: u64 = MAX_VOLUME_BYTES;

/// Most entries of a tree.
pub const MOST_TREE_ENTRIES: usize = MAX_VOLUME_ENTRIES;

/// One file, folder or link of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// Names with / between them; empty for the tree itself. It comes after the folder that it is in.
    pub path: String,
    pub uid: u32,
    pub gid: u32,
    pub kind: TreeKind,
}

/// What an entry is. Modes are permission bits.
#[derive(Clone, PartialEq, Eq)]
pub enum TreeKind {
    Folder { mode: u32 },
    File { mode: u32, content: Vec<u8> },
    Link { target: String },
}

/// Content may be a secret.
impl fmt::Debug for TreeKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { mode } => write!(out, "Folder({mode:o})"),
            Self::File { mode, content } => write!(out, "File({mode:o}, {} bytes)", content.len()),
            Self::Link { target } => write!(out, "Link({target:?})"),
        }
    }
}

/// How the root folder of a volume looks that the guest has for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeRoot {
    /// Permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

impl From<VolumeRoot> for wire::VolumeRoot {
    fn from(root: VolumeRoot) -> Self {
        Self {
            mode: root.mode,
            uid: root.uid,
            gid: root.gid,
            ..Self::default()
        }
    }
}

/// What a container sees of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeMount {
    pub source: MountSource,
    pub mount: Mount,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    Volume {
        id: VolumeId,
        /// Empty is all of it.
        sub_path: String,
        /// Folders of `sub_path` that are missing are made.
        make_sub_path: bool,
    },
    /// A path of the host that the agent is on.
    Host { path: PathBuf },
}

impl From<VolumeMount> for wire::VolumeMount {
    fn from(volume: VolumeMount) -> Self {
        let mount = volume.mount;
        let mut wire = Self {
            destination: mount.destination,
            read_only: mount.read_only,
            recursive_read_only: mount.recursive_read_only,
            receives_mounts: mount.receives_mounts,
            map_owners: mount.map_owners,
            shares_mounts: mount.shares_mounts,
            ..Self::default()
        };
        match volume.source {
            MountSource::Volume {
                id,
                sub_path,
                make_sub_path,
            } => {
                wire.volume_id = id.into();
                wire.sub_path = sub_path;
                wire.make_sub_path = make_sub_path;
            }
            MountSource::Host { path } => wire.host_path = path.to_string_lossy().into_owned(),
        }
        wire
    }
}

impl Agent {
    /// Makes a volume of a tree, or replaces one that has a `..data`. `size_bytes` is the room in it; 0 is the agent's choice. The
    /// deadline is each part's.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn write_volume(
        &self,
        id: &VolumeId,
        tree: Vec<TreeEntry>,
        size_bytes: u64,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        for mut request in parts(tree) {
            request.volume_id = id.to_string();
            request.size_bytes = size_bytes;
            let call = self.client.write_volume(context_of(deadline), &request);
            within("WriteVolume", deadline, call).await?;
        }
        Ok(())
    }

    /// Makes a volume of the EROFS on the disk there. The guest waits for it for `deadline`; the call a little longer.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn mount_image_volume(
        &self,
        id: &VolumeId,
        pci_address: &str,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        self.mount_volume(id, (pci_address, ""), deadline).await
    }

    /// Makes a volume of a folder or file in the root of the pod's virtio-fs, whose device is there.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn mount_share(
        &self,
        id: &VolumeId,
        (pci_address, name): (&str, &str),
        deadline: Duration,
    ) -> Result<(), AgentError> {
        self.mount_volume(id, (pci_address, name), deadline).await
    }

    /// Makes a volume of an image's files; only for an agent on a host.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn mount_image_files(
        &self,
        id: &VolumeId,
        files: Vec<ImageFile>,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        let request = wire::MountVolumeRequest {
            volume_id: id.to_string(),
            files: files.into_iter().map(ImageFile::into).collect(),
            ..Default::default()
        };
        let call = self.client.mount_volume(context_of(deadline), &request);
        within("MountVolume", deadline, call).await.map(|_done| ())
    }

    /// Makes a volume of huge pages of the guest.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn mount_huge_pages(
        &self,
        id: &VolumeId,
        pages: HugePages,
        root: VolumeRoot,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        let pages = wire::HugePages {
            page_bytes: pages.page_bytes,
            bytes: pages.bytes,
            root: Some(root.into()).into(),
            ..Default::default()
        };
        let request = wire::MountVolumeRequest {
            volume_id: id.to_string(),
            huge_pages: Some(pages).into(),
            ..Default::default()
        };
        let call = self.client.mount_volume(context_of(deadline), &request);
        within("MountVolume", deadline, call).await.map(|_done| ())
    }

    /// Makes a volume of the disk there, which has an XFS of the volume's own. In it is room for `limit_bytes`; 0 is as much as it has.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn mount_disk_volume(
        &self,
        id: &VolumeId,
        pci_address: &str,
        (root, limit_bytes): (VolumeRoot, u64),
        deadline: Duration,
    ) -> Result<(), AgentError> {
        let disk = wire::DiskVolume {
            root: Some(root.into()).into(),
            limit_bytes,
            ..Default::default()
        };
        let request = wire::MountVolumeRequest {
            volume_id: id.to_string(),
            pci_address: pci_address.to_owned(),
            disk: Some(disk).into(),
            timeout_ms: milliseconds(deadline),
            ..Default::default()
        };
        let deadline = deadline.saturating_add(ATTEMPT_DEADLINE);
        let call = self.client.mount_volume(context_of(deadline), &request);
        within("MountVolume", deadline, call).await.map(|_done| ())
    }

    /// Has the guest write out what it has not yet of a volume on a disk.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn sync_volume(&self, id: &VolumeId, deadline: Duration) -> Result<(), AgentError> {
        let request = wire::SyncVolumeRequest {
            volume_id: id.to_string(),
            ..Default::default()
        };
        let call = self.client.sync_volume(context_of(deadline), &request);
        within("SyncVolume", deadline, call).await.map(|_done| ())
    }

    async fn mount_volume(
        &self,
        id: &VolumeId,
        (pci_address, share): (&str, &str),
        deadline: Duration,
    ) -> Result<(), AgentError> {
        let request = wire::MountVolumeRequest {
            volume_id: id.to_string(),
            pci_address: pci_address.to_owned(),
            share: share.to_owned(),
            timeout_ms: milliseconds(deadline),
            ..Default::default()
        };
        let deadline = deadline.saturating_add(ATTEMPT_DEADLINE);
        let call = self.client.mount_volume(context_of(deadline), &request);
        within("MountVolume", deadline, call).await.map(|_done| ())
    }

    /// The last `max_bytes` of a regular file of a volume.
    ///
    /// # Errors
    /// As agent.proto says; a longer answer is cut off with [`AgentError::Lost`].
    pub async fn read_volume_file(
        &self,
        id: &VolumeId,
        path: &str,
        max_bytes: u32,
        deadline: Duration,
    ) -> Result<Vec<u8>, AgentError> {
        const CALL: &str = "ReadVolumeFile";
        let request = wire::ReadVolumeFileRequest {
            volume_id: id.to_string(),
            path: path.to_owned(),
            max_bytes,
            ..Default::default()
        };
        let call = self.client.read_volume_file(context_of(deadline), &request);
        let content = within(CALL, deadline, call).await?.content;
        if content.len() as u64 > u64::from(max_bytes) {
            return Err(AgentError::broken(CALL, "it sent more than was asked for"));
        }
        Ok(content)
    }

    /// Idempotent.
    ///
    /// # Errors
    /// As agent.proto says.
    pub async fn remove_volume(&self, id: &VolumeId, deadline: Duration) -> Result<(), AgentError> {
        let request = wire::RemoveVolumeRequest {
            volume_id: id.to_string(),
            ..Default::default()
        };
        let call = self.client.remove_volume(context_of(deadline), &request);
        within("RemoveVolume", deadline, call).await.map(|_done| ())
    }
}

/// Divides a tree into messages; a file that does not fit goes on in the next one.
fn parts(tree: Vec<TreeEntry>) -> Vec<wire::WriteVolumeRequest> {
    let mut all = vec![wire::WriteVolumeRequest::default()];
    let mut room = PART_BYTES;
    for entry in tree.into_iter().flat_map(pieces) {
        let bytes = ENTRY_BYTES + entry.path.len() + entry.content.len() + entry.target.len();
        if bytes > room {
            all.push(wire::WriteVolumeRequest::default());
            room = PART_BYTES;
        }
        room = room.saturating_sub(bytes);
        if let Some(part) = all.last_mut() {
            part.entries.push(entry);
        }
    }
    for (part, number) in all.iter_mut().zip(0..) {
        part.part = number;
    }
    if let Some(part) = all.last_mut() {
        part.last = true;
    }
    all
}

/// One entry, and one more for each further half of a part that its file has.
fn pieces(entry: TreeEntry) -> Vec<wire::VolumeEntry> {
    let first = wire::VolumeEntry {
        path: entry.path,
        uid: entry.uid,
        gid: entry.gid,
        ..Default::default()
    };
    let (mode, content) = match entry.kind {
        TreeKind::Folder { mode } => {
            let kind = Kind::FOLDER.into();
            return vec![wire::VolumeEntry {
                kind,
                mode,
                ..first
            }];
        }
        TreeKind::Link { target } => {
            let kind = Kind::LINK.into();
            return vec![wire::VolumeEntry {
                kind,
                target,
                ..first
            }];
        }
        TreeKind::File { mode, content } => (mode, content),
    };
    let piece = |content: &[u8], append| wire::VolumeEntry {
        kind: Kind::FILE.into(),
        mode,
        content: content.to_vec(),
        append,
        ..first.clone()
    };
    let (head, rest) = content
        .split_at_checked(PART_BYTES / 2)
        .unwrap_or((&content, &[]));
    let mut all = vec![piece(head, false)];
    all.extend(rest.chunks(PART_BYTES / 2).map(|more| piece(more, true)));
    all
}

#[cfg(test)]
mod tests;
