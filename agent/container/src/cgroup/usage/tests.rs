//! Numbers out of the kernel's files.

use std::fs;

use super::*;

#[test]
fn usage_is_read_from_the_cgroups_files() {
    let folder = tempfile::tempdir().unwrap();
    for (file, value) in [
        ("memory.current", "1000\n"),
        ("memory.peak", "2000\n"),
        ("memory.max", "max\n"),
        ("memory.swap.current", "5\n"),
        (
            "memory.stat",
            "anon 300\nfile 600\ninactive_file 400\npgfault 7\npgmajfault 2\n",
        ),
        ("cpu.stat", "usage_usec 123\nuser_usec 100\n"),
        ("pids.current", "4\n"),
        ("memory.events", "low 0\noom_kill 1\n"),
        ("cgroup.procs", "1\n2\n"),
    ] {
        fs::write(folder.path().join(file), value).unwrap();
    }
    fs::create_dir(folder.path().join("below")).unwrap();
    fs::write(folder.path().join("below/cgroup.procs"), "3\n").unwrap();
    let cgroup = Cgroup {
        path: folder.path().to_owned(),
    };
    let expect = Usage {
        memory_bytes: 1000,
        memory_peak_bytes: 2000,
        memory_limit_bytes: 0,
        working_set_bytes: 600,
        rss_bytes: 300,
        swap_bytes: 5,
        page_faults: 7,
        major_page_faults: 2,
        cpu_us: 123,
        pids: 4,
        oom_kills: 1,
        ..Usage::default()
    };
    assert_eq!(cgroup.usage(), expect);
    assert_eq!(cgroup.process_count(), 3);
}

#[test]
fn pressure_is_read_where_the_kernel_counts_it() {
    let share = |averages, total_us| PressureShare { averages, total_us };
    let check = |text: &str, expect: Option<Pressure>| assert_eq!(pressure(text), expect, "{text}");
    let some = share([1.5, 0.25, 0.0], 77);
    check(
        "some avg10=1.50 avg60=0.25 avg300=0.00 total=77\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=9\n",
        Some(Pressure {
            some,
            full: share([1.0, 0.0, 0.0], 9),
        }),
    );
    check(
        "some avg10=1.50 avg60=0.25 avg300=0.00 total=77\n",
        Some(Pressure {
            some,
            full: PressureShare::default(),
        }),
    );
    check("", None);
    check("some avg10=x\n", None);
}
