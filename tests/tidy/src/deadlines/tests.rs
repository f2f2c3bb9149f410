//! A time without a unit is found.

use super::*;

fn check_text(text: &str, lines: &[usize]) {
    let found = check(&[SourceFile::new("a.rs", text)], &[]);
    let at: Vec<usize> = found.iter().map(|finding| finding.line).collect();
    assert_eq!(at, lines, "{text:?}: {found:?}");
}

#[test]
fn deadline_number_without_a_unit_is_found() {
    check_text("const BOOT_TIMEOUT: u64 = 5;\n", &[1]);
    check_text("a\npub const\n    POLL_INTERVAL : u32 = 5;\n", &[3]);
    check_text("pub(crate) static DEADLINE: f64 = 5.0;\n", &[1]);
}

#[test]
fn deadline_with_a_unit_is_fine() {
    check_text(
        "const BOOT_TIMEOUT: Duration = Duration::from_secs(5);\n",
        &[],
    );
    check_text(
        "const BOOT_TIMEOUT_MS: u64 = 5;\nconst POLL_INTERVAL_SECONDS: u8 = 1;\n",
        &[],
    );
    check_text(
        "const TIMEOUTS_SEEN: u64 = 5;\n// const BOOT_TIMEOUT: u64 = 5;\n",
        &[],
    );
}

#[test]
fn deadline_exception_is_for_its_name_and_must_be_needed() {
    let exception = Exception {
        name: "TSC_DEADLINE",
        reason: "a feature bit",
    };
    let found = |text, exception| check(&[SourceFile::new("a.rs", text)], &[exception]).len();
    assert_eq!(found("const TSC_DEADLINE: u32 = 1;\n", exception), 0);
    assert_eq!(found("const TSC_TIMEOUT: u32 = 1;\n", exception), 2);
    assert_eq!(
        found(
            "const TSC_DEADLINE: u32 = 1;\n",
            Exception {
                reason: "",
                ..exception
            }
        ),
        1
    );
}
