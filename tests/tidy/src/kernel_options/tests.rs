//! An option without a reason is found.

use super::*;

fn check_text(text: &str, lines: &[usize]) {
    let found = check(&[SourceFile::new("kernel-config/a.config", text)]);
    let at: Vec<usize> = found.iter().map(|finding| finding.line).collect();
    assert_eq!(at, lines, "{text:?}: {found:?}");
}

#[test]
fn option_below_its_reason_is_fine() {
    check_text("# The agent mounts it at /proc.\nCONFIG_PROC_FS=y\n", &[]);
    check_text(
        "# Layers are EROFS blobs.\nCONFIG_EROFS_FS=y\n# CONFIG_EROFS_FS_DEBUG is not set\n\n",
        &[],
    );
}

#[test]
fn option_without_a_reason_is_found() {
    check_text("CONFIG_PROC_FS=y\n", &[1]);
    check_text(
        "# The agent mounts it at /proc.\nCONFIG_PROC_FS=y\n\nCONFIG_SYSFS=y\n",
        &[4],
    );
    check_text("# fs\nCONFIG_PROC_FS=y\n", &[2]);
    check_text("#\nCONFIG_PROC_FS=y\n", &[2]);
    check_text("# CONFIG_PROC_FS is not set\nCONFIG_SYSFS=y\n", &[1, 2]);
    check_text("PROC_FS=y\n", &[1]);
}

#[test]
fn option_fragments_that_are_nowhere_are_found() {
    let found = check(&[SourceFile::new("other/a.config", "CONFIG_A=y\n")]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, FOLDER);
}
