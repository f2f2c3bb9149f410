//! Which life a command line makes.

use super::*;

fn check(line: &str, expect: &Result<Life, ArgumentError>) {
    assert_eq!(
        parse(line.split_whitespace().map(str::to_owned), 2),
        *expect,
        "{line}"
    );
}

#[test]
fn command_line_makes_a_life() {
    check("launch", &Ok(Life::Launcher));
    check("--version", &Ok(Life::Version));
    check("pause", &Ok(Life::Pause));
    check(
        "--no-init --listen unix:/a --stdio unix:/b --state /s --cgroup /c",
        &Ok(Life::Process(Setting {
            guest: false,
            rpc: Address::Unix { path: "/a".into() },
            stdio: Address::Unix { path: "/b".into() },
            state: "/s".into(),
            cgroup: "/c".into(),
            own: Own::default(),
            waits: false,
        })),
    );
}

#[test]
fn namespaces_of_a_pod_on_a_host_are_named() {
    let line = "--no-init --listen unix:/a --stdio unix:/b --own mounts,ipc --own uts --network /n --layers /l --wait";
    let life = parse(line.split(' ').map(str::to_owned), 2);
    let Ok(Life::Process(setting)) = life else {
        panic!("{life:?}");
    };
    let own = Own {
        mounts: true,
        ipc: true,
        uts: true,
        network: Some("/n".into()),
        layers: Some("/l".into()),
    };
    assert_eq!((setting.own, setting.waits), (own, true));
    let word = "pid".to_owned();
    check(
        "--own mounts,pid",
        &Err(ArgumentError::UnknownNamespace { word }),
    );
    check("--no-init --own ipc", &Err(ArgumentError::IpcWithoutMounts));
}

#[test]
fn senseless_command_line_is_refused() {
    check("", &Err(ArgumentError::NotInit));
    check("--no-init", &Err(ArgumentError::NoAddress));
    check(
        "--listen",
        &Err(ArgumentError::NoValue {
            option: "--listen".into(),
        }),
    );
    check(
        "--listen tcp:1",
        &Err(ArgumentError::BadAddress {
            value: "tcp:1".into(),
        }),
    );
    check(
        "x",
        &Err(ArgumentError::Unknown {
            argument: "x".into(),
        }),
    );
}

#[test]
fn first_process_ignores_the_kernels_words() {
    let life = parse(["splash".to_owned()].into_iter(), 1);
    assert!(matches!(life, Ok(Life::Guest(_))));
    let life = parse(["pause-init".to_owned()].into_iter(), 1);
    assert_eq!(life, Ok(Life::PauseInit));
}
