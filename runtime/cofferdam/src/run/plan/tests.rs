//! The command line goes over the image, the image over the configuration.

use clap::Parser;
use oci_spec::image::{
    ConfigBuilder, ImageConfiguration, ImageConfigurationBuilder, RootFsBuilder,
};

use super::*;
use crate::args::{Arguments, Command};

fn config() -> Config {
    Config::load(None).unwrap()
}

fn image(settings: oci_spec::image::Config) -> Image {
    let rootfs = RootFsBuilder::default()
        .diff_ids(Vec::<String>::new())
        .build()
        .unwrap();
    let config: ImageConfiguration = ImageConfigurationBuilder::default()
        .architecture("amd64")
        .os("linux")
        .config(settings)
        .rootfs(rootfs)
        .build()
        .unwrap();
    let digest: images::Digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    Image {
        id: digest,
        names: Vec::new(),
        digests: Vec::new(),
        digest,
        size: 0,
        pinned: false,
        created: None,
        config,
    }
}

fn busybox() -> Image {
    let settings = ConfigBuilder::default()
        .entrypoint(["/entry".to_owned()])
        .cmd(["sh".to_owned()])
        .env(["A=image".to_owned()])
        .working_dir("/srv")
        .user("app:app");
    image(settings.build().unwrap())
}

fn decide(line: &[&str], image: &Image, window: Option<WindowSize>) -> Result<Plan, PlanError> {
    let line = ["cofferdam", "run"].iter().chain(line);
    let Command::Run(arguments) = Arguments::try_parse_from(line).unwrap().command else {
        panic!("not run");
    };
    let variable = |name: &str| (name == "HERE").then(|| "value".to_owned());
    plan(
        &arguments,
        image,
        &config(),
        &Surroundings {
            variable: &variable,
            window,
        },
    )
}

#[test]
fn command_line_goes_over_the_image() {
    let check = |line: &[&str], args: &[&str], env: &[&str], cwd: &str, user: &str| {
        let container = decide(line, &busybox(), None).unwrap().container;
        assert_eq!(container.args, args);
        assert_eq!(container.env, env);
        assert_eq!(
            (container.cwd.as_str(), container.user.of_image.as_str()),
            (cwd, user)
        );
    };
    check(&[], &["/entry", "sh"], &["A=image"], "/srv", "app:app");
    check(
        &["--", "ls", "-l"],
        &["/entry", "ls", "-l"],
        &["A=image"],
        "/srv",
        "app:app",
    );
    check(
        &["-w", "/", "-u", "0"],
        &["/entry", "sh"],
        &["A=image"],
        "/",
        "0",
    );
    let env = ["-e", "A=mine", "-e", "HERE", "-e", "ABSENT", "-e", "E="];
    check(
        &env,
        &["/entry", "sh"],
        &["A=image", "A=mine", "HERE=value", "E="],
        "/srv",
        "app:app",
    );
}

#[test]
fn limits_come_from_the_line_or_the_configuration() {
    let check = |line: &[&str], cpus: u8, memory: u64, pids: Option<u32>| {
        let plan = decide(line, &busybox(), None).unwrap();
        assert_eq!(plan.size.processors, cpus);
        assert_eq!(
            plan.container.limits,
            Limits {
                memory_bytes: Some(memory << 20),
                pids,
                ..Limits::default()
            }
        );
        assert!(plan.size.memory_bytes() > memory << 20);
    };
    check(&[], 1, 256, Some(4096));
    check(
        &["--cpus", "4", "--memory", "64", "--pids-limit", "7"],
        4,
        64,
        Some(7),
    );
    check(&["--pids-limit", "0"], 1, 256, None);
}

#[test]
fn read_only_root_has_no_writable_layer() {
    assert_eq!(
        decide(&["--read-only"], &busybox(), None)
            .unwrap()
            .writable_bytes,
        0
    );
    assert_eq!(
        decide(&[], &busybox(), None).unwrap().writable_bytes,
        10 << 30
    );
}

#[test]
fn terminal_takes_the_callers_size() {
    let window = Some(WindowSize {
        columns: 80,
        rows: 24,
    });
    let plan = decide(&["-it"], &busybox(), window).unwrap();
    assert_eq!(plan.container.terminal, Some(Terminal { size: window }));
    let plan = decide(&["-t"], &busybox(), None).unwrap();
    assert_eq!(plan.container.terminal, Some(Terminal { size: None }));
}

#[test]
fn wrong_run_is_refused_with_what_to_do() {
    let check = |line: &[&str], expect: PlanError| {
        let bare = image(ConfigBuilder::default().build().unwrap());
        assert_eq!(decide(line, &bare, None), Err(expect));
    };
    check(&[], PlanError::NoCommand);
    check(
        &["-e", "=x", "--", "a"],
        PlanError::NamelessVariable { entry: "=x".into() },
    );
    check(
        &["-w", "tmp", "--", "a"],
        PlanError::RelativeWorkdir { dir: "tmp".into() },
    );
}
