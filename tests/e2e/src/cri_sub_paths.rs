//! `subPath` of volumes, as the kubelet gives them to a runtime: bind mounts of a part of a volume below `volume-subpaths`. And what every
//! container has without asking: /dev/shm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::Test;
use crate::case::Case;
use crate::cri_volumes::{pod_folder, write_version};
use crate::daemon::{Daemon, log_text};
use crate::mounting::{mount, run, with};

pub(crate) const TESTS: &[Test] = &[("part_of_a_volume_is_what_the_container_has", parts)];

/// The kubelet's bind mounts of one container.
struct Binds(Vec<PathBuf>);

impl Binds {
    /// As `volume-subpaths/VOLUME/main/0` of the pod.
    fn add(&mut self, pod: &Path, volume: &str, part: &Path) -> Result<PathBuf> {
        let at = pod.join("volume-subpaths").join(volume).join("main/0");
        let parent = at.parent().context("it has one")?;
        fs::create_dir_all(parent)?;
        match part.is_dir() {
            true => fs::create_dir(&at)?,
            false => fs::write(&at, "")?,
        }
        let paths = [part, &at];
        let bound = Command::new("mount").arg("--bind").args(paths).status()?;
        ensure!(bound.success(), "bind {part:?}");
        self.0.push(at.clone());
        Ok(at)
    }
}

impl Drop for Binds {
    fn drop(&mut self) {
        for at in &self.0 {
            // What stays is found by the look at what the test left.
            Command::new("umount").arg(at).status().ok();
        }
    }
}

fn parts(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let pod = pod_folder(case)?;
    let (map, data) = (
        pod.join("volumes/kubernetes.io~configmap/map"),
        pod.join("volumes/kubernetes.io~empty-dir/data"),
    );
    fs::create_dir_all(&map)?;
    fs::create_dir_all(data.join("part"))?;
    fs::write(data.join("beside"), "not the container's")?;
    write_version(&map, "..1", "one")?;
    let mut binds = Binds(Vec::new());
    let key = binds.add(&pod, "map", &fs::canonicalize(map.join("a"))?)?;
    let part = binds.add(&pod, "data", &data.join("part"))?;

    let script = "cat /key; echo; ls -A /part/..; df -m /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2; stat -c %a /dev/shm; \
                  echo pod >/part/from-pod; until [ -e /part/go ]; do sleep 0.1; done; cat /key";
    let mounts = vec![mount("/key", &key), mount("/data/part", &part)];
    let script = script.replace("/part", "/data/part");
    let id = run(&daemon, &sandbox, with(&daemon, "main", &script, mounts))?;
    // Kubernetes' rule: who has a part of a ConfigMap hears of no change.
    write_version(&map, "..2", "two")?;
    fs::write(data.join("part/go"), "")?;
    let status = daemon.ended(&id)?;
    let said = String::from_utf8(log_text(&daemon.logs().join("main.log"), "stdout")?)?;
    ensure!(
        status.exit_code == 0 && said == "one\npart\n64\n1777\none",
        "{said:?}: {status:?}; log: {}",
        daemon.log()
    );
    ensure!(fs::read_to_string(data.join("part/from-pod"))? == "pod\n");
    daemon.remove_sandbox(&sandbox)?;
    drop(binds);
    Ok(())
}
