//! The calls that give URLs for streams: what they refuse. What the URLs lead to needs a VM; tests/e2e has it.

use cri::v1::*;
use tonic::Code;

use crate::bench::{Bench, check, sandbox};

const NOBODY: &str = "00000000000000000000000000000000";
const POD: &str = "aa11aa11aa11aa11aa11aa11aa11aa11";
const ENDED: &str = "c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1";

/// A pod that has stopped, with a container that has ended.
fn recorded() -> Bench {
    let bench = Bench::new();
    bench.record_pod(POD, &sandbox("web"));
    bench.record_container(POD, ENDED, "main", 0);
    bench
}

fn exec(id: &str, cmd: &[&str], [stdin, stdout, stderr, tty]: [bool; 4]) -> ExecRequest {
    ExecRequest {
        container_id: id.to_owned(),
        cmd: cmd.iter().map(|word| (*word).to_owned()).collect(),
        tty,
        stdin,
        stdout,
        stderr,
    }
}

fn attach(id: &str, [stdin, stdout, stderr, tty]: [bool; 4]) -> AttachRequest {
    AttachRequest {
        container_id: id.to_owned(),
        stdin,
        tty,
        stdout,
        stderr,
    }
}

const ALL: [bool; 4] = [true, true, true, false];
const NONE: [bool; 4] = [false; 4];
const TWO_OUTPUTS_OF_A_TERMINAL: [bool; 4] = [true, true, true, true];

#[tokio::test]
async fn exec_of_what_can_not_be_is_refused_and_gets_no_url() {
    let bench = recorded();
    let mut daemon = bench.serve().await;
    let runtime = &mut daemon.runtime;
    for (request, code, words) in [
        (exec(NOBODY, &["ls"], ALL), Code::NotFound, NOBODY),
        (exec("", &["ls"], ALL), Code::NotFound, "container"),
        (
            exec(ENDED, &["ls"], ALL),
            Code::FailedPrecondition,
            "does not run",
        ),
        (exec(ENDED, &[], ALL), Code::InvalidArgument, "no command"),
        (exec(ENDED, &[""], ALL), Code::InvalidArgument, "no command"),
        (
            exec(ENDED, &["ls"], NONE),
            Code::InvalidArgument,
            "none of stdin",
        ),
        (
            exec(ENDED, &["ls"], TWO_OUTPUTS_OF_A_TERMINAL),
            Code::InvalidArgument,
            "tty and stderr",
        ),
    ] {
        check(runtime.exec(request).await, code, words);
    }
}

#[tokio::test]
async fn attach_to_what_can_not_be_is_refused_and_gets_no_url() {
    let bench = recorded();
    let mut daemon = bench.serve().await;
    let runtime = &mut daemon.runtime;
    for (request, code, words) in [
        (attach(NOBODY, ALL), Code::NotFound, NOBODY),
        (
            attach(ENDED, ALL),
            Code::FailedPrecondition,
            "attach to container",
        ),
        (attach(ENDED, NONE), Code::InvalidArgument, "none of stdin"),
        (
            attach(ENDED, TWO_OUTPUTS_OF_A_TERMINAL),
            Code::InvalidArgument,
            "tty and stderr",
        ),
    ] {
        check(runtime.attach(request).await, code, words);
    }
}

#[tokio::test]
async fn ports_of_what_can_not_be_are_refused_and_get_no_url() {
    let bench = recorded();
    let mut daemon = bench.serve().await;
    let runtime = &mut daemon.runtime;
    let forward = |id: &str, port: &[i32]| PortForwardRequest {
        pod_sandbox_id: id.to_owned(),
        port: port.to_vec(),
    };
    for (request, code, words) in [
        (forward(NOBODY, &[]), Code::NotFound, NOBODY),
        (
            forward(POD, &[80]),
            Code::FailedPrecondition,
            "is not ready",
        ),
        (forward(POD, &[80, 0]), Code::InvalidArgument, "port 0 "),
        (forward(POD, &[65536]), Code::InvalidArgument, "port 65536 "),
        (forward(POD, &[-80]), Code::InvalidArgument, "port -80 "),
    ] {
        check(runtime.port_forward(request).await, code, words);
    }
}

#[tokio::test]
async fn address_that_is_taken_is_said_by_name() {
    let bench = Bench::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = bench.settings();
    settings.streaming.listen = taken.local_addr().unwrap();
    let address = settings.streaming.listen.to_string();
    let error = cri_server::serve(settings, std::future::pending())
        .await
        .unwrap_err();
    let text = model::chain(&error);
    assert!(text.contains(&address), "{text}");
}
