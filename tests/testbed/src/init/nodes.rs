//! Device nodes of modules that are loaded when their node is opened (/dev/vfio/vfio, /dev/loop-control, /dev/fuse …), as
//! systemd-tmpfiles makes them from `modules.devname`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::io::Errno;

pub(crate) fn make() -> Result<()> {
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let list = format!("/lib/modules/{release}/modules.devname");
    let text = fs::read_to_string(&list).with_context(|| format!("read {list}"))?;
    for line in text.lines() {
        let Some((name, kind, device)) = parse(line) else {
            continue;
        };
        let path = Path::new("/dev").join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("create {folder:?}"))?;
        }
        match mknodat(CWD, &path, kind, Mode::RUSR | Mode::WUSR, device) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).with_context(|| format!("make node {path:?}")),
        }
    }
    Ok(())
}

/// "MODULE NAME cMAJOR:MINOR"; nothing for a comment or what is not understood.
fn parse(line: &str) -> Option<(&str, FileType, u64)> {
    let mut words = line.split(' ');
    let (module, name, device) = (words.next()?, words.next()?, words.next()?);
    let (kind, numbers) = match device.split_at_checked(1)? {
        ("c", numbers) => (FileType::CharacterDevice, numbers),
        ("b", numbers) => (FileType::BlockDevice, numbers),
        _ => return None,
    };
    let (major, minor) = numbers.split_once(':')?;
    let device = makedev(major.parse().ok()?, minor.parse().ok()?);
    (!module.starts_with('#')).then_some((name, kind, device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devname_line_is_name_kind_and_numbers() {
        let check = |line, expected| assert_eq!(parse(line), expected);
        let tun = ("net/tun", FileType::CharacterDevice, makedev(10, 200));
        check("tun net/tun c10:200", Some(tun));
        check(
            "loop loop0 b7:0",
            Some(("loop0", FileType::BlockDevice, makedev(7, 0))),
        );
        check("# Device nodes to trigger on-demand module loading.", None);
        check("tun net/tun", None);
        check("tun net/tun x1:2", None);
    }
}
