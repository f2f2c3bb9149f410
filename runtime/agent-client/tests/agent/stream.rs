//! Standard input, output and terminals.

use agent_client::{AgentError, Output, ProcessEnd, ProcessRef, Stdio};

use crate::host::{DEADLINE, Host, process, read_all, shell};

fn first() -> ProcessRef {
    ProcessRef {
        container_id: "c".into(),
        exec_id: String::new(),
    }
}

#[tokio::test]
async fn output_and_errors_are_two_streams() {
    let Some(host) = Host::start().await else {
        return;
    };
    let finished = host.run(shell("echo out; echo err >&2")).await;
    assert_eq!(
        (finished.stdout.as_str(), finished.stderr.as_str()),
        ("out\n", "err\n")
    );
    host.stop().await;
}

#[tokio::test]
async fn input_passes_through_and_ends() {
    let Some(host) = Host::start().await else {
        return;
    };
    let mut wanted = shell("cat; echo done");
    wanted.stdio = Stdio {
        stdin: true,
        terminal: None,
    };
    host.create("c", wanted).await.unwrap();
    let mut stdin = host.agent.open_stdin(&first(), 0).await.unwrap();
    assert_eq!(stdin.write(b"one\n").await.unwrap(), 4);
    // A newer connection takes over where the old one was.
    let mut stdin = host.agent.open_stdin(&first(), 0).await.unwrap();
    assert_eq!(stdin.offset(), 4);
    stdin.write(b"two\n").await.unwrap();
    stdin.close().await.unwrap();
    assert_eq!(host.finish("c", "").await.stdout, "one\ntwo\ndone\n");
    host.stop().await;
}

#[tokio::test]
async fn input_that_nobody_reads_is_refused_with_the_reason() {
    let Some(host) = Host::start().await else {
        return;
    };
    let mut wanted = shell("exec <&-; echo closed; sleep 1000");
    wanted.stdio = Stdio {
        stdin: true,
        terminal: None,
    };
    host.create("c", wanted).await.unwrap();
    let mut stdout = host
        .agent
        .open_output(&first(), Output::Stdout, 0)
        .await
        .unwrap();
    let mut word = [0; 7];
    assert_eq!(stdout.read(&mut word).await.unwrap(), 7);
    let mut stdin = host.agent.open_stdin(&first(), 0).await.unwrap();
    let lost = stdin.write(b"x").await;
    assert!(matches!(lost, Err(AgentError::Lost { .. })), "{lost:?}");
    let refused = host
        .agent
        .open_stdin(&first(), 0)
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(refused, "the process has closed its standard input");
    let gap = host
        .agent
        .open_output(&first(), Output::Stdout, 99)
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(gap, "offset 99 is outside of what is held: 0 to 7");
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.stop().await;
}

#[tokio::test]
async fn fifty_megabytes_of_output_arrive_whole() {
    const BYTES: usize = 50 << 20;
    let Some(host) = Host::start().await else {
        return;
    };
    host.create(
        "c",
        shell("yes 0123456789abcde | dd bs=64k count=800 iflag=fullblock 2>/dev/null"),
    )
    .await
    .unwrap();
    let mut stdout = host
        .agent
        .open_output(&first(), Output::Stdout, 0)
        .await
        .unwrap();
    let mut buffer = vec![0; 64 * 1024];
    let (mut total, mut reopened) = (0usize, false);
    loop {
        let count = stdout.read(&mut buffer).await.unwrap();
        if count == 0 {
            break;
        }
        for (index, byte) in buffer[..count].iter().enumerate() {
            assert_eq!(
                *byte,
                b"0123456789abcde\n"[(total + index) % 16],
                "at {}",
                total + index
            );
        }
        total += count;
        if total > BYTES / 2 && !reopened {
            // The host comes back half way, at what it has made safe.
            reopened = true;
            stdout = host
                .agent
                .open_output(&first(), Output::Stdout, stdout.offset())
                .await
                .unwrap();
        }
        stdout.acknowledge(stdout.offset()).await.unwrap();
    }
    assert_eq!((total, reopened), (BYTES, true));
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.stop().await;
}

#[tokio::test]
async fn unacknowledged_output_stops_the_process_and_is_repeated() {
    let Some(host) = Host::start().await else {
        return;
    };
    host.create(
        "c",
        shell("dd if=/dev/zero bs=1k count=1024 2>/dev/null; echo end >&2"),
    )
    .await
    .unwrap();
    let mut stdout = host
        .agent
        .open_output(&first(), Output::Stdout, 0)
        .await
        .unwrap();
    let mut buffer = vec![0; 64 * 1024];
    let mut total = 0;
    while total < 256 * 1024 {
        total += stdout.read(&mut buffer).await.unwrap();
    }
    // The window is full: nothing follows without an acknowledgement, so the second reader finds the same bytes again.
    let mut again = host
        .agent
        .open_output(&first(), Output::Stdout, 0)
        .await
        .unwrap();
    assert!(matches!(
        stdout.read(&mut buffer).await,
        Err(AgentError::Lost { .. })
    ));
    let mut total = 0;
    while total < 256 * 1024 {
        total += again.read(&mut buffer).await.unwrap();
    }
    again.acknowledge(again.offset()).await.unwrap();
    assert_eq!(read_all(again).await.len(), (1024 - 256) * 1024);
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.stop().await;
}

#[tokio::test]
async fn output_ends_when_every_writer_has_closed_it() {
    let Some(host) = Host::start().await else {
        return;
    };
    let mut wanted = shell("(read wait; echo late) & echo early");
    wanted.stdio = Stdio {
        stdin: true,
        terminal: None,
    };
    // Without a PID namespace the child outlives the first process.
    let namespaces = wanted.spec["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    wanted.spec["process"]["args"][2] = "exec 3<&0; (read wait <&3; echo late) & echo early".into();
    host.create("c", wanted).await.unwrap();
    assert_eq!(host.end_of(&first()).await.0, ProcessEnd::Exited(0));
    let mut stdin = host.agent.open_stdin(&first(), 0).await.unwrap();
    stdin.write(b"go\n").await.unwrap();
    let stdout = host
        .agent
        .open_output(&first(), Output::Stdout, 0)
        .await
        .unwrap();
    assert_eq!(read_all(stdout).await, "early\nlate\n");
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.assert_nothing_left("c");
    host.stop().await;
}

#[tokio::test]
async fn terminal_has_its_size_from_the_start_and_is_resized() {
    let Some(host) = Host::start().await else {
        return;
    };
    let mut wanted = shell(
        "tty; stty size; trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done",
    );
    wanted.stdio = Stdio {
        stdin: true,
        terminal: Some((90, 30)),
    };
    host.create("c", wanted).await.unwrap();
    let mut stdout = host
        .agent
        .open_output(&first(), Output::Stdout, 0)
        .await
        .unwrap();
    let mut text = String::new();
    let mut buffer = [0; 256];
    while !text.contains("ready") {
        let count = stdout.read(&mut buffer).await.unwrap();
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    assert_eq!(text, "/dev/pts/0\r\n30 90\r\nready\r\n");
    host.agent
        .resize_terminal(&first(), (100, 40), DEADLINE)
        .await
        .unwrap();
    assert_eq!(read_all(stdout).await, "40 100\r\n");
    assert_eq!(host.end_of(&first()).await.0, ProcessEnd::Exited(0));
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.stop().await;
}

#[tokio::test]
async fn terminal_of_an_exec_takes_input_until_its_end() {
    let Some(host) = Host::start().await else {
        return;
    };
    host.create("c", shell("sleep 1000")).await.unwrap();
    let stdio = Stdio {
        stdin: true,
        terminal: Some((10, 5)),
    };
    host.exec(
        "c",
        "e",
        process(&["sh", "-c", "stty -echo; stty size; cat"]),
        stdio,
    )
    .await
    .unwrap();
    let exec = ProcessRef {
        container_id: "c".into(),
        exec_id: "e".into(),
    };
    let mut stdout = host
        .agent
        .open_output(&exec, Output::Stdout, 0)
        .await
        .unwrap();
    let mut buffer = [0; 64];
    let count = stdout.read(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..count], b"5 10\r\n");
    let mut stdin = host.agent.open_stdin(&exec, 0).await.unwrap();
    stdin.write(b"typed\n").await.unwrap();
    stdin.close().await.unwrap();
    assert_eq!(read_all(stdout).await, "typed\r\n");
    assert_eq!(host.end_of(&exec).await.0, ProcessEnd::Exited(0));
    let not = host.agent.resize_terminal(&first(), (1, 1), DEADLINE).await;
    assert!(
        matches!(not, Err(AgentError::Precondition { .. })),
        "{not:?}"
    );
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.stop().await;
}

#[tokio::test]
async fn stream_that_is_not_there_is_refused() {
    let Some(host) = Host::start().await else {
        return;
    };
    host.create("c", shell("sleep 1000")).await.unwrap();
    let refused = host
        .agent
        .open_stdin(&first(), 0)
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(
        refused,
        "the process has no such stream: it was started without standard input"
    );
    let nobody = ProcessRef {
        container_id: "x".into(),
        exec_id: String::new(),
    };
    let refused = host
        .agent
        .open_output(&nobody, Output::Stdout, 0)
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(refused, "no container x");
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.stop().await;
}

#[tokio::test]
async fn input_that_was_ended_is_not_opened_again() {
    let Some(host) = Host::start().await else {
        return;
    };
    let mut wanted = shell("cat; echo over; sleep 1000");
    wanted.stdio.stdin = true;
    host.create("c", wanted).await.unwrap();
    let mut stdin = host.agent.open_stdin(&first(), 0).await.unwrap();
    stdin.close().await.unwrap();
    let mut stdout = host
        .agent
        .open_output(&first(), Output::Stdout, 0)
        .await
        .unwrap();
    let mut word = [0; 5];
    assert_eq!(stdout.read(&mut word).await.unwrap(), 5);
    let refused = host.agent.open_stdin(&first(), 0).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the process's standard input has been ended"
    );
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.stop().await;
}

#[tokio::test]
async fn input_that_runs_ahead_arrives_whole() {
    const BYTES: usize = 8 << 20;
    let Some(host) = Host::start().await else {
        return;
    };
    let mut wanted = shell("sha256sum; echo done");
    wanted.stdio.stdin = true;
    host.create("c", wanted).await.unwrap();
    let mut stdin = host.agent.open_stdin(&first(), 0).await.unwrap();
    let piece = vec![b'x'; 50_000];
    let mut left = BYTES;
    while left > 0 {
        let some = piece.get(..left.min(piece.len())).unwrap();
        left -= stdin.write_ahead(some).await.unwrap();
    }
    stdin.close().await.unwrap();
    assert_eq!(stdin.offset(), BYTES as u64);
    let said = host.finish("c", "").await.stdout;
    // sha256sum of 8 MiB of the letter x.
    let sum = "0c77bc0a0795a93612d45256897456d0fcb24f151c44c150d07ecd03f4ef5168";
    assert!(said.starts_with(sum) && said.ends_with("done\n"), "{said}");
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.stop().await;
}

#[tokio::test]
async fn output_without_a_known_offset_begins_with_what_is_held() {
    let Some(host) = Host::start().await else {
        return;
    };
    let mut wanted = shell("echo first; read wait; echo second; sleep 1000");
    wanted.stdio.stdin = true;
    host.create("c", wanted).await.unwrap();
    let process = first();
    let open = || host.agent.open_held_output(&process, Output::Stdout);
    let mut stdout = open().await.unwrap();
    assert_eq!(stdout.offset(), 0);
    let mut text = [0; 16];
    assert_eq!(stdout.read(&mut text).await.unwrap(), 6);
    stdout.acknowledge(6).await.unwrap();
    let mut stdin = host.agent.open_stdin(&first(), 0).await.unwrap();
    stdin.write(b"go\n").await.unwrap();
    assert_eq!(stdout.read(&mut text).await.unwrap(), 7);
    // The second line has not been acknowledged.
    let mut stdout = open().await.unwrap();
    assert_eq!(stdout.offset(), 6);
    assert_eq!(stdout.read(&mut text).await.unwrap(), 7);
    assert_eq!(&text[..7], b"second\n");
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.stop().await;
}
