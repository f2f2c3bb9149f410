//! `unsafe` outside its rooms is found; the word in a comment or a string is not.

use super::*;

fn check_one(path: &str, text: &str, lines: &[usize]) {
    let found = check(&[SourceFile::new(path, text)]);
    let at: Vec<usize> = found.iter().map(|finding| finding.line).collect();
    assert_eq!(at, lines, "{path} {text:?}: {found:?}");
}

const BLOCK: &str = "fn f() {\n    unsafe { g() }\n}\n";

#[test]
fn unsafe_outside_its_rooms_is_found() {
    check_one("runtime/pod/src/start.rs", BLOCK, &[2]);
    check_one(
        "runtime/vmm/src/main.rs",
        "#![expect(unsafe_code, reason = \"x\")]\n",
        &[1],
    );
    check_one("runtime/virtio/src/vsock.rs", BLOCK, &[2]);
    check_one("runtime/network/src/tap.rs", BLOCK, &[2]);
    check_one("runtime/machinery/src/lib.rs", BLOCK, &[2]);
    check_one("agent/agentd/src/sys_calls.rs", BLOCK, &[2]);
    check_one("agent/container/src/init/sys.rs", BLOCK, &[2]);
    check_one(
        "tests/harness/src/lib.rs",
        "unsafe impl Send for A {}\n",
        &[1],
    );
}

#[test]
fn unsafe_in_its_rooms_is_fine() {
    for path in [
        "runtime/machine/src/memory.rs",
        "runtime/vfio/src/dma.rs",
        "runtime/virtio/src/queue.rs",
        "runtime/virtio/src/queue_walk.rs",
        "runtime/virtio/src/queue/tests.rs",
        "runtime/network/src/sys.rs",
        "agent/agentd/src/sys.rs",
        "agent/container/src/sys/fork.rs",
    ] {
        check_one(path, BLOCK, &[]);
    }
}

#[test]
fn unsafe_as_a_word_of_text_is_fine() {
    check_one(
        "runtime/pod/src/start.rs",
        "// unsafe\n/* unsafe */ let a = \"unsafe\";\n",
        &[],
    );
    check_one(
        "runtime/pod/src/start.rs",
        "let is_unsafe = r#\"unsafe {\"#;\n",
        &[],
    );
}
