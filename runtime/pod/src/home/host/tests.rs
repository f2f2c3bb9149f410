//! The agent's command line, and what is told of its end.

use std::os::unix::process::ExitStatusExt;

use super::*;

fn arguments(plan: &HostPlan, cgroup: &str) -> Result<String, HostAgentError> {
    let record = HostRecord::planned(plan, &"p1".parse().unwrap());
    let cgroup = Cgroup::recorded(cgroup.into());
    let command = command(plan, &record, Path::new("/run/p1"), &cgroup)?;
    let words = command.get_args().map(|word| word.to_string_lossy());
    Ok(words.collect::<Vec<_>>().join(" "))
}

fn plan() -> HostPlan {
    HostPlan {
        agent: "/lib/agent".into(),
        layers_dir: "/layers".into(),
        own_network: None,
        own_ipc: false,
        own_host_name: false,
    }
}

#[test]
fn command_line_names_what_the_pod_has_of_its_own() {
    let check = |plan: &HostPlan, expect: &str| {
        let words = arguments(plan, "/sys/fs/cgroup/kubepods/cofferdam-p1").unwrap();
        assert_eq!(words, expect);
    };
    let rest = "--listen unix:/run/p1/agent.sock --stdio unix:/run/p1/stdio.sock --state /run/p1/agent \
                --cgroup /kubepods/cofferdam-p1 --layers /layers/p1";
    check(&plan(), &format!("--no-init --wait --own mounts {rest}"));
    let all = HostPlan {
        own_network: Some("/run/netns/p1".into()),
        own_ipc: true,
        own_host_name: true,
        ..plan()
    };
    check(
        &all,
        &format!("--no-init --wait --own mounts,ipc,uts {rest} --network /run/netns/p1"),
    );
}

#[test]
fn cgroup_elsewhere_is_refused() {
    let refused = arguments(&plan(), "/cgroup2/cofferdam-p1");
    assert!(matches!(refused, Err(HostAgentError::NoCgroup)));
}

#[test]
fn end_is_told_with_its_last_words() {
    let check = |status: Option<i32>, words: &str, expect: &str| {
        assert_eq!(cause(status.map(ExitStatus::from_raw), words), expect);
    };
    check(Some(9), "", "signal: 9 (SIGKILL)");
    check(Some(256), "no", "exit status: 1; its last words: no");
    check(None, "", "nobody saw how");
}

#[test]
fn last_words_are_the_end_of_what_was_said() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(last_words(folder.path()), "");
    let text = "x".repeat(5000) + "\nthe end\n";
    fs::write(folder.path().join(LAST_WORDS), text).unwrap();
    let words = last_words(folder.path());
    assert_eq!(words.len(), 1023);
    assert!(words.ends_with("x\nthe end"));
}
