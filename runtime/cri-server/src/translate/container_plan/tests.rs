//! Tests of the plan of a container, with values.

use cri::v1::{
    CdiDevice, ContainerMetadata, Device, IdMapping, Int64Value, LinuxContainerConfig,
    LinuxContainerResources, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, Mount,
    NamespaceMode, NamespaceOption, SeLinuxOption, SupplementalGroupsPolicy, UserNamespace,
};
use model::{GroupsOfImage, NamespaceOf, User};
use oci_spec::image::{ConfigBuilder, ImageConfigurationBuilder, RootFsBuilder};

use super::*;
use crate::{host_devices::HostDevice, translate::devices};

mod node;

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
    plan_in(config, LinuxSandboxSecurityContext::default())
}

fn plan_in(
    config: &ContainerConfig,
    security: LinuxSandboxSecurityContext,
) -> Result<Planned, Refusal> {
    plan_of(config, &sandbox_with(security), PodKind::Vm)
}

fn sandbox_with(security: LinuxSandboxSecurityContext) -> PodSandboxConfig {
    PodSandboxConfig {
        log_directory: "/var/log/pods/web".to_owned(),
        linux: Some(LinuxPodSandboxConfig {
            security_context: Some(security),
            ..LinuxPodSandboxConfig::default()
        }),
        ..PodSandboxConfig::default()
    }
}

fn plan_of(
    config: &ContainerConfig,
    sandbox: &PodSandboxConfig,
    kind: PodKind,
) -> Result<Planned, Refusal> {
    let found = vec![HostDevice::Other; config.devices.len()];
    let devices = devices(config, found, kind)?;
    container_plan(config, (sandbox, kind), &image(), DEFAULTS, None, devices)
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
    let check = |id: Option<i64>, name: &str, group: Option<i64>, expect: Option<_>| {
        let security = LinuxContainerSecurityContext {
            run_as_user: id.map(|value| Int64Value { value }),
            run_as_username: name.to_owned(),
            run_as_group: group.map(|value| Int64Value { value }),
            ..LinuxContainerSecurityContext::default()
        };
        let user = plan(&secured(security)).map(|planned| planned.spec.user);
        let expect = expect.map(|(name, uid, gid): (&str, _, _)| User {
            of_image: "www-data:5".to_owned(),
            name: name.to_owned(),
            uid,
            gid,
            supplemental_groups: Vec::new(),
            groups: GroupsOfImage::Merge,
        });
        match expect {
            Some(expect) => assert_eq!(user, Ok(expect)),
            None => assert!(matches!(user, Err(Refusal::Invalid(_))), "{user:?}"),
        }
    };
    check(None, "", None, Some(("", None, None)));
    check(Some(0), "", None, Some(("", Some(0), None)));
    check(Some(7), "", Some(8), Some(("", Some(7), Some(8))));
    check(None, "nobody", Some(8), Some(("nobody", None, Some(8))));
    check(None, "nobody", None, Some(("nobody", None, None)));
    check(None, "", Some(8), None);
    check(Some(7), "nobody", None, None);
    check(Some(-1), "", None, None);
    check(Some(7), "", Some(i64::from(u32::MAX)), None);
    check(None, "a:b", None, None);
}

#[test]
fn supplemental_groups_come_with_their_policy() {
    let check = |groups: &[i64], policy: SupplementalGroupsPolicy, expect: Option<_>| {
        let security = LinuxContainerSecurityContext {
            supplemental_groups: groups.to_owned(),
            supplemental_groups_policy: policy.into(),
            ..LinuxContainerSecurityContext::default()
        };
        let user = plan(&secured(security)).map(|planned| planned.spec.user);
        let user = user.map(|user| (user.supplemental_groups, user.groups));
        assert_eq!(user.ok(), expect);
    };
    let (merge, strict) = (
        SupplementalGroupsPolicy::Merge,
        SupplementalGroupsPolicy::Strict,
    );
    check(&[5, 6], merge, Some((vec![5, 6], GroupsOfImage::Merge)));
    check(&[], strict, Some((vec![], GroupsOfImage::Strict)));
    check(&[-5], merge, None);
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

fn device(host_path: &str) -> Device {
    Device {
        host_path: host_path.to_owned(),
        container_path: host_path.to_owned(),
        permissions: "rw".to_owned(),
    }
}

#[test]
fn images_and_devices_that_can_not_be_had_are_refused_by_name() {
    let mut config = asked();
    config.mounts = vec![Mount {
        container_path: "/models".to_owned(),
        image: Some(cri::v1::ImageSpec {
            image: "example.com/models".to_owned(),
            ..cri::v1::ImageSpec::default()
        }),
        readonly: true,
        propagation: cri::v1::MountPropagation::PropagationBidirectional.into(),
        ..Mount::default()
    }];
    check_unimplemented(&config, "example.com/models");
    let mut config = asked();
    config.devices = vec![device("/dev/fuse"), device("/dev/sda")];
    check_unimplemented(&config, "/dev/sda");
    let mut config = asked();
    config.cdi_devices = vec![CdiDevice {
        name: "vendor.com/gpu=0".to_owned(),
    }];
    check_unimplemented(&config, "vendor.com/gpu=0");
}

#[test]
fn devices_that_every_guest_has_are_given() {
    let mut config = asked();
    config.devices = vec![device("/dev/fuse")];
    let devices = plan(&config).unwrap().spec.security.devices;
    assert_eq!(devices.len(), 1);
    assert_eq!(devices[0].container_path, "/dev/fuse");
    assert_eq!(devices[0].permissions, "rw");
}

#[test]
fn selinux_labels_are_ignored_unless_they_can_be_none() {
    let labelled = |level: &str| {
        secured(LinuxContainerSecurityContext {
            selinux_options: Some(SeLinuxOption {
                level: level.to_owned(),
                ..SeLinuxOption::default()
            }),
            ..LinuxContainerSecurityContext::default()
        })
    };
    let plain = plan(&secured(LinuxContainerSecurityContext::default())).unwrap();
    assert_eq!(plan(&labelled("s0:c1")).unwrap().spec, plain.spec);
    let refusal = plan(&labelled("secret")).unwrap_err();
    assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal:?}");
    assert!(refusal.to_string().contains("\"secret\""), "{refusal}");
}

#[test]
fn container_is_in_the_user_namespace_of_its_sandbox() {
    let range = vec![IdMapping {
        host_id: 7,
        container_id: 0,
        length: 9,
    }];
    let options = |mode: NamespaceMode, range: &[IdMapping]| {
        Some(NamespaceOption {
            userns_options: Some(UserNamespace {
                mode: mode.into(),
                uids: range.to_vec(),
                gids: range.to_vec(),
            }),
            ..NamespaceOption::default()
        })
    };
    let of_sandbox = || LinuxSandboxSecurityContext {
        namespace_options: options(NamespaceMode::Pod, &range),
        ..LinuxSandboxSecurityContext::default()
    };
    let mapped = plan_in(&asked(), of_sandbox()).unwrap().spec.namespaces;
    assert_eq!(mapped.user.unwrap().gids.guest, 7);
    let other = secured(LinuxContainerSecurityContext {
        namespace_options: options(NamespaceMode::Node, &[]),
        ..LinuxContainerSecurityContext::default()
    });
    let refusal = plan_in(&other, of_sandbox()).unwrap_err();
    assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal:?}");
    assert_eq!(plan(&other).unwrap().spec.namespaces.user, None);
    let mut config = asked();
    config.mounts = vec![Mount {
        container_path: "/v".to_owned(),
        host_path: "/v".to_owned(),
        uid_mappings: range.clone(),
        ..Mount::default()
    }];
    let refusal = plan_in(&config, of_sandbox()).unwrap_err();
    assert!(refusal.to_string().contains("gid_mappings"), "{refusal}");
}

#[test]
fn target_is_a_container() {
    let targeting = |id: &str| {
        secured(LinuxContainerSecurityContext {
            namespace_options: Some(NamespaceOption {
                pid: NamespaceMode::Target.into(),
                target_id: id.to_owned(),
                ..NamespaceOption::default()
            }),
            ..LinuxContainerSecurityContext::default()
        })
    };
    let namespaces = plan(&targeting("c1")).unwrap().spec.namespaces;
    assert_eq!(namespaces.pid, NamespaceOf::Container);
    assert_eq!(namespaces.pid_target.unwrap().as_str(), "c1");
    let refusal = plan(&targeting("")).unwrap_err();
    assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal:?}");
    assert!(refusal.to_string().contains("target_id \"\""), "{refusal}");
}

#[test]
fn privileged_container_needs_a_privileged_sandbox() {
    let config = secured(LinuxContainerSecurityContext {
        privileged: true,
        ..LinuxContainerSecurityContext::default()
    });
    let refusal = plan(&config).unwrap_err();
    assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal:?}");
    let sandbox = LinuxSandboxSecurityContext {
        privileged: true,
        ..LinuxSandboxSecurityContext::default()
    };
    let planned = plan_in(&config, sandbox).unwrap();
    assert!(planned.spec.security.privileged);
}

#[test]
fn processes_are_shared_where_pod_and_container_say_so() {
    let check =
        |pod: Option<NamespaceMode>, container: Option<NamespaceMode>, expect: Option<_>| {
            let options = |mode: Option<NamespaceMode>| {
                mode.map(|mode| NamespaceOption {
                    pid: mode.into(),
                    ..NamespaceOption::default()
                })
            };
            let config = secured(LinuxContainerSecurityContext {
                namespace_options: options(container),
                ..LinuxContainerSecurityContext::default()
            });
            let sandbox = LinuxSandboxSecurityContext {
                namespace_options: options(pod),
                ..LinuxSandboxSecurityContext::default()
            };
            let planned = plan_in(&config, sandbox);
            match expect {
                Some(expect) => assert_eq!(planned.unwrap().spec.namespaces.pid, expect),
                None => assert!(matches!(planned, Err(Refusal::Invalid(_))), "{planned:?}"),
            }
        };
    let (pod, own) = (Some(NamespaceMode::Pod), Some(NamespaceMode::Container));
    check(pod, pod, Some(NamespaceOf::Pod));
    check(pod, own, Some(NamespaceOf::Container));
    check(own, own, Some(NamespaceOf::Container));
    check(own, None, Some(NamespaceOf::Container));
    // CRI's default.
    check(pod, None, Some(NamespaceOf::Pod));
    check(None, None, Some(NamespaceOf::Pod));
    check(None, pod, Some(NamespaceOf::Pod));
    check(None, own, Some(NamespaceOf::Container));
    check(own, pod, None);
}

#[test]
fn what_pod_refuses_is_refused_before_anything_is_made() {
    let check = |config: &ContainerConfig, words: &str| {
        let refusal = plan(config).unwrap_err();
        assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal:?}");
        assert!(refusal.to_string().contains(words), "{refusal}");
    };
    let relative = LinuxContainerSecurityContext {
        masked_paths: vec!["bin/ls".to_owned()],
        ..LinuxContainerSecurityContext::default()
    };
    check(&secured(relative), "masked_paths has \"bin/ls\"");
    let mut config = asked();
    config.linux = Some(LinuxContainerConfig {
        resources: Some(LinuxContainerResources {
            memory_swap_limit_in_bytes: 1 << 20,
            ..LinuxContainerResources::default()
        }),
        ..LinuxContainerConfig::default()
    });
    check(&config, "memory_swap_limit_in_bytes");
}
