//! Tests of the plan of a container, with values.

use cri::v1::{
    Capability, ContainerMetadata, Device, Int64Value, LinuxContainerConfig,
    LinuxContainerResources, Mount, NamespaceMode, NamespaceOption, SecurityProfile,
    security_profile::ProfileType,
};
use oci_spec::image::{ConfigBuilder, ImageConfigurationBuilder, RootFsBuilder};

use super::*;

const DEFAULTS: ContainerDefaults = ContainerDefaults {
    pids_limit: 4096,
    writable_mib: 64,
};

fn image() -> Image {
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    let settings = ConfigBuilder::default()
        .entrypoint(words(&["/entry"]))
        .cmd(words(&["a", "b"]))
        .env(words(&["PATH=/bin", "A=image"]))
        .working_dir("srv")
        .user("www-data:5")
        .stop_signal("SIGINT")
        .build()
        .unwrap();
    let root = RootFsBuilder::default()
        .typ("layers")
        .diff_ids(Vec::<String>::new())
        .build()
        .unwrap();
    let config = ImageConfigurationBuilder::default()
        .os("linux")
        .architecture("amd64")
        .rootfs(root)
        .config(settings)
        .build()
        .unwrap();
    let digest = images::Digest::of(b"image");
    Image {
        id: digest,
        names: Vec::new(),
        digest,
        digests: Vec::new(),
        pinned: false,
        size: 4096,
        created: None,
        config,
    }
}

fn asked() -> ContainerConfig {
    ContainerConfig {
        metadata: Some(ContainerMetadata {
            name: "main".to_owned(),
            attempt: 0,
        }),
        log_path: "main/0.log".to_owned(),
        ..ContainerConfig::default()
    }
}

fn secured(security: LinuxContainerSecurityContext) -> ContainerConfig {
    ContainerConfig {
        linux: Some(LinuxContainerConfig {
            security_context: Some(security),
            ..LinuxContainerConfig::default()
        }),
        ..asked()
    }
}

fn plan(config: &ContainerConfig) -> Result<Planned, Refusal> {
    let sandbox = PodSandboxConfig {
        log_directory: "/var/log/pods/web".to_owned(),
        ..PodSandboxConfig::default()
    };
    container_plan(config, &sandbox, &image(), DEFAULTS)
}

fn key_value(key: &str, value: &[u8]) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

#[test]
fn container_that_asks_for_nothing_is_its_image() {
    insta::assert_debug_snapshot!(plan(&asked()).unwrap());
}

#[test]
fn container_that_asks_gets_what_it_asks_for() {
    let config = ContainerConfig {
        command: vec!["sh".to_owned()],
        args: vec!["-c".to_owned(), "exit 3".to_owned()],
        working_dir: "/tmp".to_owned(),
        envs: vec![key_value("A", b"own"), key_value("EMPTY", b"")],
        stdin: true,
        tty: true,
        stop_signal: cri::v1::Signal::Sigrtminplus3.into(),
        linux: Some(LinuxContainerConfig {
            resources: Some(LinuxContainerResources {
                memory_limit_in_bytes: 32 << 20,
                cpu_shares: 2,
                oom_score_adj: 1000,
                unified: [("memory.oom.group".to_owned(), "1".to_owned())].into(),
                ..LinuxContainerResources::default()
            }),
            security_context: Some(LinuxContainerSecurityContext {
                run_as_user: Some(Int64Value { value: 1000 }),
                run_as_group: Some(Int64Value { value: 2000 }),
                readonly_rootfs: true,
                no_new_privs: true,
                masked_paths: vec!["/proc/acpi".to_owned()],
                ..LinuxContainerSecurityContext::default()
            }),
        }),
        ..asked()
    };
    insta::assert_debug_snapshot!(plan(&config).unwrap());
}

#[test]
fn command_and_arguments_replace_the_images() {
    let check = |command: &[&str], args: &[&str], expect: &[&str]| {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let config = ContainerConfig {
            command: owned(command),
            args: owned(args),
            ..asked()
        };
        assert_eq!(plan(&config).unwrap().spec.args, expect);
    };
    check(&[], &[], &["/entry", "a", "b"]);
    check(&[], &["x"], &["/entry", "x"]);
    check(&["sh"], &[], &["sh"]);
    check(&["sh"], &["x"], &["sh", "x"]);
}

#[test]
fn users_are_numbers_names_or_the_images() {
    let check = |id: Option<i64>, name: &str, group: Option<i64>, expect: Option<&str>| {
        let security = LinuxContainerSecurityContext {
            run_as_user: id.map(|value| Int64Value { value }),
            run_as_username: name.to_owned(),
            run_as_group: group.map(|value| Int64Value { value }),
            ..LinuxContainerSecurityContext::default()
        };
        let user = plan(&secured(security)).map(|planned| planned.spec.user.of_image);
        match expect {
            Some(expect) => assert_eq!(user.as_deref(), Ok(expect)),
            None => assert!(matches!(user, Err(Refusal::Invalid(_))), "{user:?}"),
        }
    };
    check(None, "", None, Some("www-data:5"));
    check(Some(0), "", None, Some("0"));
    check(Some(7), "", Some(8), Some("7:8"));
    check(None, "nobody", Some(8), Some("nobody:8"));
    check(None, "nobody", None, Some("nobody"));
    check(None, "", Some(8), None);
    check(Some(7), "nobody", None, None);
    check(Some(-1), "", None, None);
    check(Some(7), "", Some(i64::from(u32::MAX)), None);
    check(None, "a:b", None, None);
}

#[test]
fn logs_are_in_the_sandboxs_folder() {
    let check = |path: &str, directory: &str, expect: Result<Option<&str>, ()>| {
        let log = log(path, directory).map_err(|_refusal| ());
        assert_eq!(log, expect.map(|path| path.map(PathBuf::from)));
    };
    check("main/0.log", "/var/log", Ok(Some("/var/log/main/0.log")));
    check("/elsewhere/0.log", "/var/log", Ok(Some("/elsewhere/0.log")));
    check("", "/var/log", Ok(None));
    check("main/0.log", "", Err(()));
}

#[test]
fn containers_that_can_never_be_right_are_invalid() {
    let check = |config: ContainerConfig, words: &str| {
        let refusal = plan(&config).unwrap_err();
        assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal:?}");
        assert!(refusal.to_string().contains(words), "{refusal}");
    };
    let with = |change: &dyn Fn(&mut ContainerConfig)| {
        let mut config = asked();
        change(&mut config);
        config
    };
    check(with(&|config| config.metadata = None), "no name");
    check(with(&|config| config.stdin_once = true), "stdin_once");
    check(
        with(&|config| config.working_dir = "srv".to_owned()),
        "not absolute",
    );
    check(
        with(&|config| config.command = vec![String::new()]),
        "empty",
    );
    check(with(&|config| config.args = vec!["\0".to_owned()]), "NUL");
    check(with(&|config| config.stop_signal = 999), "stop_signal");
    check(
        with(&|config| config.envs = vec![key_value("A=B", b"")]),
        "A=B",
    );
    let secret = key_value("SECRET", b"hidden\xff");
    let refusal = plan(&with(&|config| config.envs = vec![secret.clone()])).unwrap_err();
    assert!(refusal.to_string().contains("SECRET"), "{refusal}");
    assert!(!refusal.to_string().contains("hidden"), "{refusal}");
    check(
        with(&|config| {
            config
                .annotations
                .insert("a".to_owned(), "x".repeat(3 << 20));
        }),
        "at most",
    );
}

fn check_unimplemented(config: &ContainerConfig, words: &str) {
    let refusal = plan(config).unwrap_err();
    assert!(matches!(refusal, Refusal::Unimplemented(_)), "{refusal:?}");
    assert!(refusal.to_string().contains(words), "{refusal}");
}

#[test]
fn files_and_devices_of_the_host_are_refused_by_name() {
    let mut config = asked();
    config.mounts = vec![Mount {
        container_path: "/etc/hosts".to_owned(),
        host_path: "/tmp/hosts".to_owned(),
        ..Mount::default()
    }];
    check_unimplemented(&config, "/etc/hosts");
    let mut config = asked();
    config.devices = vec![Device {
        host_path: "/dev/fuse".to_owned(),
        ..Device::default()
    }];
    check_unimplemented(&config, "/dev/fuse");
}

#[test]
fn privileges_that_a_container_would_not_get_or_lose_are_refused_by_name() {
    let check = |change: &dyn Fn(&mut LinuxContainerSecurityContext), words: &str| {
        let mut security = LinuxContainerSecurityContext::default();
        change(&mut security);
        check_unimplemented(&secured(security), words);
    };
    let all = || vec!["ALL".to_owned()];
    let dropping = Capability {
        drop_capabilities: all(),
        ..Capability::default()
    };
    let adding = Capability {
        add_capabilities: all(),
        ..Capability::default()
    };
    let local = SecurityProfile {
        profile_type: ProfileType::Localhost.into(),
        localhost_ref: "mine".to_owned(),
    };
    let target = NamespaceOption {
        pid: NamespaceMode::Target.into(),
        ..NamespaceOption::default()
    };
    let node = NamespaceOption {
        ipc: NamespaceMode::Node.into(),
        ..NamespaceOption::default()
    };
    check(&|security| security.privileged = true, "privileged");
    check(
        &|security| security.capabilities = Some(dropping.clone()),
        "dropping",
    );
    check(
        &|security| security.capabilities = Some(adding.clone()),
        "adding",
    );
    check(
        &|security| security.supplemental_groups = vec![5],
        "supplemental_groups",
    );
    check(
        &|security| security.masked_paths = vec!["/bin/ls".to_owned()],
        "/bin/ls",
    );
    check(
        &|security| security.readonly_paths = vec!["/etc".to_owned()],
        "/etc",
    );
    check(
        &|security| security.seccomp = Some(local.clone()),
        "seccomp",
    );
    check(
        &|security| security.apparmor = Some(local.clone()),
        "AppArmor",
    );
    check(
        &|security| security.namespace_options = Some(target.clone()),
        "TARGET",
    );
    check(
        &|security| security.namespace_options = Some(node.clone()),
        "node",
    );
}
