//! Defaults come from the documentation; what is not documented is refused.

use std::error::Error as _;

use super::*;

mod node;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("test.toml"))
}

#[test]
fn empty_file_gives_the_documented_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config, parse(DEFAULTS).unwrap());
    assert_eq!(config.vm.memory_mib, 256);
}

#[test]
fn one_key_of_a_table_leaves_the_others() {
    let config = parse("[vm]\ncpus = 4\n").unwrap();
    assert_eq!((config.vm.cpus, config.vm.memory_mib), (4, 256));
}

#[test]
fn socket_is_in_the_run_folder_unless_it_is_absolute() {
    let check = |text: &str, expect: &str| {
        assert_eq!(parse(text).unwrap().cri_socket(), Path::new(expect));
    };
    check("", "/run/cofferdam/cri.sock");
    check("run_dir = \"/r\"", "/r/cri.sock");
    check("[cri]\nsocket = \"/s/x.sock\"", "/s/x.sock");
}

#[test]
fn pinned_images_are_whole_names_however_they_are_written() {
    let pins = |text: &str| parse(text).unwrap().cri.pinned_images;
    assert_eq!(pins(""), []);
    let short = pins("[cri]\npinned_images = [\"pause\"]");
    assert_eq!(short, ["docker.io/library/pause:latest".parse().unwrap()]);
}

#[test]
fn wrong_configuration_is_refused_by_name() {
    let check = |text: &str, expect: &str| {
        let error = parse(text).unwrap_err();
        let source = error.source().map(ToString::to_string).unwrap_or_default();
        let whole = format!("{error}: {source}");
        assert!(whole.contains(expect), "{text:?} gave {whole}");
        assert!(whole.contains("test.toml"), "{whole}");
    };
    check("kernle = \"/x\"", "kernle");
    check("[vm]\nmemory = 3", "memory");
    check("[wm]\ncpus = 3", "wm");
    check("[vm]\ncpus = \"3\"", "invalid type");
    check("[vfio]\ndevices = [\"gpu\"]", "gpu");
    check("[cri]\npinned_images = [\"Pause\"]", "bad part `Pause`");
    check("[vm]\ncpus = 0", "vm.cpus is 0, it must be at least 1");
    check("deadline_scale = 0", "deadline_scale is 0");
    check("[jail]\nuid = 0", "jail.uid is 0, it must be not root");
    check("[vm]\nconsole = \"loud\"", "loud");
    check("[cgroup]\ndriver = \"docker\"", "docker");
    check("[cgroup]\nparent = \"/a/../b\"", "may not contain . or ..");
    check(
        "[metrics]\nlisten = \"9477\"",
        "neither an address with a port",
    );
    check("[streaming]\nlisten = \"10350\"", "no address with a port");
    check(
        "[streaming]\nlisten = \"0.0.0.0:10350\"",
        "set streaming.base_url",
    );
    check("[streaming]\nkey = \"/key.pem\"", "go together");
    check("[streaming]\nport = 1", "port");
    check("= 3", "not right");
}

#[test]
fn cgroup_driver_is_what_is_said_or_what_fits_the_host() {
    let check = |text: &str, expect: &[CgroupDriver]| {
        let driver = parse(text).unwrap().cgroup.driver.settled();
        assert!(expect.contains(&driver), "{text:?} gave {driver:?}");
    };
    let systemd = Path::new(SYSTEMD).is_dir();
    let own = [CgroupDriver::Cgroupfs, CgroupDriver::Systemd][usize::from(systemd)];
    check("", &[own]);
    check("[cgroup]\ndriver = \"systemd\"", &[CgroupDriver::Systemd]);
    check("[cgroup]\ndriver = \"cgroupfs\"", &[CgroupDriver::Cgroupfs]);
    let parent = parse("").unwrap().cgroup.parent.0;
    assert_eq!(parent.path(), Path::new("cofferdam"));
}

#[test]
fn metrics_are_told_nowhere_or_where_it_is_said() {
    let check = |text: &str, expect: Option<Listen>| {
        assert_eq!(parse(text).unwrap().metrics.listen.0, expect, "{text}");
    };
    check("", None);
    let tcp = Listen::Tcp(([127, 0, 0, 1], 9477).into());
    check("[metrics]\nlisten = \"127.0.0.1:9477\"", Some(tcp));
    let unix = Listen::Unix("/run/m.sock".into());
    check("[metrics]\nlisten = \"/run/m.sock\"", Some(unix));
}

#[test]
fn streams_are_on_loopback_or_where_it_is_said() {
    let streaming = parse("").unwrap().streaming;
    assert!(streaming.listen.ip().is_loopback());
    assert_eq!((streaming.base_url, streaming.tls), (None, None));
    let said = r#"
        [streaming]
        listen = "0.0.0.0:10350"
        base_url = "https://node-1.example:10350"
        certificate = "/cert.pem"
        key = "/key.pem"
    "#;
    let streaming = parse(said).unwrap().streaming;
    assert_eq!(streaming.listen, ([0, 0, 0, 0], 10350).into());
    assert_eq!(
        streaming.base_url.as_deref(),
        Some("https://node-1.example:10350")
    );
    assert_eq!(streaming.tls, Some(("/cert.pem".into(), "/key.pem".into())));
}

#[test]
fn registries_are_read_in_order_and_checked_by_key() {
    let config = parse(
        r#"
        [[registry]]
        host = "docker.io"
        [[registry.mirrors]]
        url = "http://127.0.0.1:5000"
        [[registry.mirrors]]
        url = "https://mirror.example"
        ca_file = "/ca.pem"
        send_credentials = true
        [[registry]]
        host = "*"
        mirrors = [{ url = "http://127.0.0.1:5001" }]
        "#,
    )
    .unwrap();
    let registries = config.registry.registries;
    assert_eq!(registries.len(), 2);
    let urls: Vec<_> = registries
        .iter()
        .flat_map(|registry| &registry.mirrors)
        .map(|mirror| (mirror.url.as_str(), mirror.send_credentials))
        .collect();
    let expect = [
        ("http://127.0.0.1:5000", false),
        ("https://mirror.example", true),
        ("http://127.0.0.1:5001", false),
    ];
    assert_eq!(urls, expect);
    let check = |text: &str, expect: &str| {
        let error = parse(text).unwrap_err();
        let source = error.source().map(ToString::to_string).unwrap_or_default();
        assert!(source.contains(expect), "{text:?} gave {source}");
    };
    check("[[registry]]\nurl = \"http://a\"", "host");
    check("[[registry]]\nhost = \"a\"\ninsecure = true", "insecure");
    check(
        "[[registry]]\nhost = \"a\"\n[[registry.mirrors]]\nca_file = \"/x\"",
        "url",
    );
    check(
        "[[registry]]\nhost = \"a\"\nmirrors = [{ url = \"http://b\", tls = 1 }]",
        "tls",
    );
}

/// The keys in the comments of `registry` are those that are taken.
#[test]
fn documented_registry_is_one_that_is_taken() {
    let example: String = DEFAULTS
        .lines()
        .filter_map(|line| line.strip_prefix("#     "))
        .map(|line| format!("{line}\n"))
        .collect();
    let config = parse(&example).unwrap();
    let [registry] = &config.registry.registries[..] else {
        panic!("{example}");
    };
    assert!(registry.url.is_some() && registry.ca_file.is_some());
    assert_eq!(registry.mirrors.len(), 1);
    assert!(registry.mirrors[0].ca_file.is_some());
}

#[test]
fn missing_file_is_an_error_only_when_asked_for() {
    let missing = Path::new("/nonexistent/cofferdam.toml");
    assert!(matches!(
        Config::load(Some(missing)),
        Err(ConfigError::Read { .. })
    ));
}

#[test]
fn every_key_is_documented_in_the_lines_above_it() {
    let mut documented = false;
    for line in DEFAULTS.lines() {
        if line.starts_with('#') {
            documented = true;
        } else if line.contains('=') {
            let in_jail = line.starts_with("gid");
            assert!(documented || in_jail, "no comment above: {line}");
            documented = false;
        }
    }
}

#[test]
fn writable_layers_lie_on_a_disk_or_make_the_vm_larger() {
    let config = parse("").unwrap();
    assert_eq!(config.memory_layer_mib(), 0);
    let scratch = config.scratch().unwrap();
    assert_eq!(scratch.folder, Path::new("/var/lib/cofferdam/scratch"));
    assert_eq!(
        scratch.template,
        Path::new("/usr/lib/cofferdam/scratch.template")
    );
    let config = parse("[container]\nwritable_layer = 'memory'\nwritable_mib = 8").unwrap();
    assert_eq!(config.memory_layer_mib(), 8);
    assert!(config.scratch().is_none());
    assert!(parse("[container]\nwritable_layer = 'tape'").is_err());
}
