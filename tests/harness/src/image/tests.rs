//! Images that are built, and what is read back from them by independent means.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::Command;

use super::*;

fn sample(compression: Compression) -> ImageBuilder {
    let layer = Layer::new(compression)
        .directory("etc", 0o755)
        .xattr("user.note", b"a\0b")
        .owner(7, 8)
        .file("etc/motd", 0o640, "hello\n")
        .owner(0, 0)
        .symlink("etc/link", "motd")
        .hard_link("etc/other", "etc/motd")
        .character_device("null", 0o666, 1, 3)
        .fifo("pipe", 0o600)
        .whiteout("etc/gone")
        .opaque("var");
    ImageBuilder::new("sample:1")
        .layer(layer)
        .env("A", "b")
        .cmd(&["sh"])
        .user("7:8")
}

fn json_file(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn blob(folder: &Path, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap();
    let bytes = fs::read(folder.join("blobs").join(digest.replace(':', "/"))).unwrap();
    assert_eq!(archive::digest(&bytes), digest);
    assert_eq!(bytes.len() as u64, descriptor["size"].as_u64().unwrap());
    bytes
}

#[test]
fn layout_leads_from_index_to_manifest_config_and_layer() {
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let folder = tempfile::tempdir().unwrap();
        sample(compression)
            .build()
            .unwrap()
            .write_layout(folder.path())
            .unwrap();
        let index = json_file(&folder.path().join("index.json"));
        let root = &index["manifests"][0];
        assert_eq!(
            root["annotations"]["org.opencontainers.image.ref.name"],
            "sample:1"
        );
        let manifest: Value = serde_json::from_slice(&blob(folder.path(), root)).unwrap();
        let config: Value =
            serde_json::from_slice(&blob(folder.path(), &manifest["config"])).unwrap();
        assert_eq!(config["config"]["Env"], json!(["A=b"]));
        assert_eq!(config["config"]["User"], "7:8");
        let layer = blob(folder.path(), &manifest["layers"][0]);
        let tar = match compression {
            Compression::None => layer,
            Compression::Gzip => {
                let mut tar = Vec::new();
                flate2::read::GzDecoder::new(layer.as_slice())
                    .read_to_end(&mut tar)
                    .unwrap();
                tar
            }
            Compression::Zstd => zstd::decode_all(layer.as_slice()).unwrap(),
        };
        assert_eq!(
            archive::digest(&tar),
            config["rootfs"]["diff_ids"][0].as_str().unwrap()
        );
    }
}

#[test]
fn layer_listed_by_gnu_tar_has_every_entry() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layer.tar");
    let image = sample(Compression::None);
    fs::write(&path, image.build().unwrap().layers[0].bytes.clone()).unwrap();
    let output = Command::new("tar")
        .args(["--numeric-owner", "--xattrs", "--xattrs-include=*", "-tvvf"])
        .arg(&path)
        .env("TZ", "UTC")
        .output()
        .unwrap();
    let listed: Vec<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        listed,
        [
            "drwxr-xr-x 0/0 0 2001-09-09 01:46 etc/",
            "-rw-r-----* 7/8 6 2001-09-09 01:46 etc/motd",
            "x: 3 user.note",
            "lrwxrwxrwx 0/0 0 2001-09-09 01:46 etc/link -> motd",
            "hrw-r--r-- 0/0 0 2001-09-09 01:46 etc/other link to etc/motd",
            "crw-rw-rw- 0/0 1,3 2001-09-09 01:46 null",
            "prw------- 0/0 0 2001-09-09 01:46 pipe",
            "-rw-r--r-- 0/0 0 2001-09-09 01:46 etc/.wh.gone",
            "-rw-r--r-- 0/0 0 2001-09-09 01:46 var/.wh..wh..opq",
        ]
    );
}

#[test]
fn docker_archive_names_config_tag_and_layers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.tar");
    let bundle = sample(Compression::Gzip).build().unwrap();
    bundle.write_docker_archive(&path).unwrap();
    let mut archive = tar::Archive::new(File::open(&path).unwrap());
    let names: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    let hex = |digest: &str| digest.strip_prefix("sha256:").unwrap().to_owned();
    let config = format!("{}.json", hex(&bundle.config.digest));
    let layer = format!("{}/layer.tar", hex(&bundle.layers[0].digest));
    assert_eq!(names, ["manifest.json", config.as_str(), layer.as_str()]);
}

#[test]
fn multi_arch_layout_has_an_index_of_platforms() {
    let folder = tempfile::tempdir().unwrap();
    let images = ["arm64", "amd64"].map(|name| {
        sample(Compression::None)
            .architecture(name)
            .build()
            .unwrap()
    });
    MultiArch::new("many:1", images.to_vec())
        .write_layout(folder.path())
        .unwrap();
    let root = json_file(&folder.path().join("index.json"))["manifests"][0].clone();
    assert_eq!(root["mediaType"], "application/vnd.oci.image.index.v1+json");
    let index: Value = serde_json::from_slice(&blob(folder.path(), &root)).unwrap();
    assert_eq!(index["manifests"][0]["platform"]["architecture"], "arm64");
    blob(folder.path(), &index["manifests"][1]);
    // Both images share their layer.
    assert_eq!(
        fs::read_dir(folder.path().join("blobs/sha256"))
            .unwrap()
            .count(),
        1 + 2 + 2 + 1
    );
}
