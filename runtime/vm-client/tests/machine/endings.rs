//! Every way in which a machine ends, and that its process is gone then.

use std::io::{Read, Seek};

use rustix::process::{Pid, Signal, kill_process};
use vm_client::{EndReason, Ending, Lifetime, Monitor};

use crate::{
    guest,
    stage::{SOON, Scene, gone, patience, soon},
};

async fn check(code: &[u8], reason: EndReason, text: &str, tail: &str) {
    let Some(scene) = Scene::set() else { return };
    let monitor = scene.launch(code).await;
    let pid = monitor.pid().unwrap();
    let ending = soon(monitor.ended()).await;
    let expect = Ending {
        reason,
        text: text.to_owned(),
        console_tail: tail.to_owned(),
    };
    assert_eq!(ending, expect);
    assert_eq!(
        soon(monitor.ended()).await,
        ending,
        "a second question has the same answer"
    );
    gone(pid).await;
}

#[tokio::test]
async fn guest_that_powers_off_ends_with_its_last_output() {
    let code = [
        guest::print("bye\n"),
        guest::power_off(),
        guest::WAITS.to_vec(),
    ]
    .concat();
    check(&code, EndReason::PowerOff, "the guest powered off", "bye\n").await;
}

#[tokio::test]
async fn guest_that_resets_ends() {
    let code = [guest::reset(), guest::WAITS.to_vec()].concat();
    check(&code, EndReason::Reset, "the guest asked for a reset", "").await;
}

#[tokio::test]
async fn guest_that_panics_ends_with_escaped_output() {
    let code = [
        guest::print("\u{1b}[2Joops\n"),
        guest::panic(),
        guest::WAITS.to_vec(),
    ]
    .concat();
    let tail = "\\u{1b}[2Joops\n";
    check(
        &code,
        EndReason::GuestPanic,
        "the guest's kernel panicked",
        tail,
    )
    .await;
}

#[tokio::test]
async fn guest_that_triple_faults_ends() {
    let text = "a virtual processor met a triple fault";
    check(guest::FAULTS, EndReason::TripleFault, text, "").await;
}

#[tokio::test]
async fn stop_ends_a_guest_that_never_leaves_the_processor() {
    let Some(scene) = Scene::set() else { return };
    let monitor = scene.launch(guest::SPINS).await;
    let pid = monitor.pid().unwrap();
    let ending = soon(monitor.stop(SOON)).await;
    assert_eq!(ending.reason, EndReason::Stopped);
    gone(pid).await;
    assert_eq!(
        soon(monitor.stop(SOON)).await,
        ending,
        "stopping twice is no error"
    );
}

#[tokio::test]
async fn stop_without_patience_kills() {
    let Some(scene) = Scene::set() else { return };
    let monitor = scene.launch(guest::WAITS).await;
    let pid = monitor.pid().unwrap();
    kill_process(
        Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(),
        Signal::STOP,
    )
    .unwrap();
    let ending = soon(monitor.stop(std::time::Duration::from_millis(50))).await;
    assert_eq!(ending.reason, EndReason::Lost);
    gone(pid).await;
}

#[tokio::test]
async fn monitor_that_is_killed_is_lost_by_signal_9() {
    let Some(scene) = Scene::set() else { return };
    let monitor = scene.launch(guest::WAITS).await;
    let pid = monitor.pid().unwrap();
    kill_process(
        Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(),
        Signal::KILL,
    )
    .unwrap();
    let ending = soon(monitor.ended()).await;
    assert_eq!(ending.reason, EndReason::Lost);
    assert!(ending.text.contains("signal 9"), "{}", ending.text);
    gone(pid).await;
}

#[tokio::test]
async fn machine_ends_with_its_launcher() {
    let Some(scene) = Scene::set() else { return };
    let monitor = scene.launch(guest::WAITS).await;
    let pid = monitor.pid().unwrap();
    let watcher = soon(Monitor::attach(scene.folder(), patience()))
        .await
        .unwrap();
    drop(monitor);
    let ending = soon(watcher.ended()).await;
    assert_eq!(ending.reason, EndReason::LauncherGone);
    gone(pid).await;
}

#[tokio::test]
async fn machine_outlives_its_launcher_and_is_attached_to() {
    let Some(scene) = Scene::set() else { return };
    let mut plan = scene.plan(guest::WAITS);
    plan.lifetime = Lifetime::UntilStopped;
    let (monitor, _) = soon(Monitor::launch(plan)).await.unwrap();
    let pid = monitor.pid().unwrap();
    drop(monitor);
    let monitor = soon(Monitor::attach(scene.folder(), patience()))
        .await
        .unwrap();
    assert_eq!(monitor.pid(), Some(pid));
    assert_eq!(soon(monitor.status()).await.unwrap().name, "test");
    assert_eq!(soon(monitor.stop(SOON)).await.reason, EndReason::Stopped);
    gone(pid).await;
}

#[tokio::test]
async fn foreign_monitor_that_is_killed_is_lost_without_a_signal() {
    let Some(scene) = Scene::set() else { return };
    let monitor = scene.launch(guest::WAITS).await;
    let watcher = soon(Monitor::attach(scene.folder(), patience()))
        .await
        .unwrap();
    let pid = i32::try_from(monitor.pid().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    let ending = soon(watcher.ended()).await;
    assert_eq!(ending.reason, EndReason::Lost);
    assert!(ending.text.contains("can't be learnt"), "{}", ending.text);
}

#[tokio::test]
async fn console_log_has_all_that_the_guest_wrote() {
    let Some(scene) = Scene::set() else { return };
    let mut log = tempfile::tempfile().unwrap();
    let code = [guest::print("first\nsecond\n"), guest::power_off()].concat();
    let mut plan = scene.plan(&code);
    plan.console = Some(log.try_clone().unwrap());
    let (monitor, running) = soon(Monitor::launch(plan)).await.unwrap();
    assert!(running.message_us <= running.jailed_us && running.jailed_us <= running.running_us);
    assert_eq!(soon(monitor.ended()).await.reason, EndReason::PowerOff);
    let mut text = String::new();
    log.rewind().unwrap();
    log.read_to_string(&mut text).unwrap();
    assert_eq!(text, "first\nsecond\n");
}
