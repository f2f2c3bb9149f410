//! Limits as JSON, as they come from the host, to the files they end in.

use super::*;

fn check(limits: &str, expect: &[&str]) {
    let resources: LinuxResources = serde_json::from_str(limits).unwrap();
    let lines: Vec<_> = match writes(&resources) {
        Ok(writes) => writes
            .iter()
            .map(|write| {
                let mark = if write.optional { "?" } else { "" };
                format!("{}{mark} = {}", write.file, write.value)
            })
            .collect(),
        Err(error) => vec![error.to_string()],
    };
    assert_eq!(lines, expect, "{limits}");
}

#[test]
fn memory_limits_become_version_two() {
    check(
        r#"{"memory":{"limit":1048576,"swap":1048576,"reservation":4096}}"#,
        &[
            "memory.max = 1048576",
            "memory.swap.max? = 0",
            "memory.low = 4096",
        ],
    );
    check(
        r#"{"memory":{"limit":-1,"swap":-1}}"#,
        &["memory.max = max", "memory.swap.max? = max"],
    );
    check(
        r#"{"memory":{"limit":4096,"swap":4095}}"#,
        &[
            "memory.swap can't be 4095: it counts memory and swap together and needs a memory limit that is not larger",
        ],
    );
    check(
        r#"{"memory":{"swappiness":10}}"#,
        &["memory.swappiness does not exist in cgroup version 2; leave it out"],
    );
}

#[test]
fn processor_limits_become_version_two() {
    check(r#"{"cpu":{"shares":1024}}"#, &["cpu.weight = 100"]);
    check(r#"{"cpu":{"shares":2}}"#, &["cpu.weight = 1"]);
    check(r#"{"cpu":{"shares":999999}}"#, &["cpu.weight = 10000"]);
    check(
        r#"{"cpu":{"quota":50000,"period":100000}}"#,
        &["cpu.max = 50000 100000"],
    );
    check(
        r#"{"cpu":{"quota":-1,"period":100000}}"#,
        &["cpu.max = max 100000"],
    );
    check(r#"{"cpu":{"quota":50000}}"#, &["cpu.max = 50000"]);
    check(
        r#"{"cpu":{"cpus":"0-1","mems":"0","idle":1,"burst":10}}"#,
        &[
            "cpu.max.burst = 10",
            "cpu.idle = 1",
            "cpuset.cpus = 0-1",
            "cpuset.mems = 0",
        ],
    );
}

#[test]
fn process_limit_without_a_number_is_max() {
    check(r#"{"pids":{"limit":64}}"#, &["pids.max = 64"]);
    check(r#"{"pids":{"limit":-1}}"#, &["pids.max = max"]);
}

#[test]
fn block_io_limits_become_version_two() {
    check(r#"{"blockIO":{"weight":10}}"#, &["io.weight = 1"]);
    check(r#"{"blockIO":{"weight":1000}}"#, &["io.weight = 10000"]);
    check(
        r#"{"blockIO":{"weight":5}}"#,
        &["blockIO.weight can't be 5: 10 to 1000"],
    );
    check(
        r#"{"blockIO":{"throttleReadBpsDevice":[{"major":254,"minor":0,"rate":1024}],
            "throttleWriteIOPSDevice":[{"major":254,"minor":16,"rate":9}]}}"#,
        &["io.max = 254:0 rbps=1024", "io.max = 254:16 wiops=9"],
    );
}

#[test]
fn huge_page_limit_covers_reservations() {
    check(
        r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#,
        &[
            "hugetlb.2MB.max = 4194304",
            "hugetlb.2MB.rsvd.max? = 4194304",
        ],
    );
    check(
        r#"{"hugepageLimits":[{"pageSize":"1GB","limit":0}]}"#,
        &["hugetlb.1GB.max? = 0", "hugetlb.1GB.rsvd.max? = 0"],
    );
    check(
        r#"{"hugepageLimits":[{"pageSize":"../x","limit":1}]}"#,
        &["hugepageLimits can't be ../x: a size such as 2MB or 1GB"],
    );
}

#[test]
fn unified_map_goes_last_and_stays_in_the_cgroup() {
    check(
        r#"{"unified":{"memory.high":"1000","memory.oom.group":"1"},"pids":{"limit":1}}"#,
        &["pids.max = 1", "memory.high = 1000", "memory.oom.group = 1"],
    );
    for file in ["../memory.max", "cgroup.procs", "memory"] {
        check(
            &format!(r#"{{"unified":{{"{file}":"1"}}}}"#),
            &[&format!(
                "unified can't be {file}: a file of a controller, such as memory.high"
            )],
        );
    }
}
