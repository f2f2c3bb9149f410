//! A seccomp profile from the host's files. Main function: [`read`]. What is in it, `pod` understands.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use tonic::Status;

use crate::{limits::SECCOMP_PROFILE_BYTES, work};

/// The text of the profile in this file. A file that is missing or no text is a fault of the node, which the error names.
pub(crate) async fn read(path: PathBuf) -> Result<String, Status> {
    work::blocking(move || {
        text(&path).map_err(|error| {
            Status::failed_precondition(format!(
                "read the seccomp profile {}: {error}",
                path.display()
            ))
        })
    })
    .await?
}

fn text(path: &Path) -> io::Result<String> {
    // A FIFO in its place would make open wait for a writer (fifo(7)).
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    let most = u64::try_from(SECCOMP_PROFILE_BYTES).map_err(io::Error::other)?;
    let bytes = file.take(most + 1).read_to_string(&mut text)?;
    if bytes > SECCOMP_PROFILE_BYTES {
        let text = format!("it has more than {SECCOMP_PROFILE_BYTES} bytes");
        return Err(io::Error::other(text));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tonic::Code;

    use super::*;

    async fn check(path: &Path, words: &str) {
        let status = read(path.to_owned()).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        let name = path.to_str().unwrap();
        assert!(status.message().contains(name), "{status}");
        assert!(status.message().contains(words), "{status}");
    }

    #[tokio::test]
    async fn profile_is_read_and_what_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.json");
        check(&path, "No such file").await;
        check(folder.path(), "not a regular file").await;
        fs::write(&path, "{}").unwrap();
        assert_eq!(read(path.clone()).await.unwrap(), "{}");
        fs::write(&path, b"\xff").unwrap();
        check(&path, "UTF-8").await;
        fs::write(&path, " ".repeat(SECCOMP_PROFILE_BYTES)).unwrap();
        assert!(read(path.clone()).await.is_ok());
        fs::write(&path, " ".repeat(SECCOMP_PROFILE_BYTES + 1)).unwrap();
        check(&path, "more than").await;
    }

    #[tokio::test]
    async fn fifo_without_a_writer_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR;
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
        check(&path, "not a regular file").await;
    }
}
