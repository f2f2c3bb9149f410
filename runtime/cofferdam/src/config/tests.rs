//! Defaults come from the documentation; what is not documented is refused.

use std::error::Error as _;

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("test.toml"))
}

#[test]
fn empty_file_gives_the_documented_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config, parse(DEFAULTS).unwrap());
    assert_eq!(config.vm.memory_mib, 256);
}

#[test]
fn one_key_of_a_table_leaves_the_others() {
    let config = parse("[vm]\ncpus = 4\n").unwrap();
    assert_eq!((config.vm.cpus, config.vm.memory_mib), (4, 256));
}

#[test]
fn wrong_configuration_is_refused_by_name() {
    let check = |text: &str, expect: &str| {
        let error = parse(text).unwrap_err();
        let source = error.source().map(ToString::to_string).unwrap_or_default();
        let whole = format!("{error}: {source}");
        assert!(whole.contains(expect), "{text:?} gave {whole}");
        assert!(whole.contains("test.toml"), "{whole}");
    };
    check("kernle = \"/x\"", "kernle");
    check("[vm]\nmemory = 3", "memory");
    check("[wm]\ncpus = 3", "wm");
    check("[vm]\ncpus = \"3\"", "invalid type");
    check("[vm]\ncpus = 0", "vm.cpus is 0, it must be at least 1");
    check("deadline_scale = 0", "deadline_scale is 0");
    check("[jail]\nuid = 0", "jail.uid is 0, it must be not root");
    check("[vm]\nconsole = \"loud\"", "loud");
    check("= 3", "not right");
}

#[test]
fn missing_file_is_an_error_only_when_asked_for() {
    let missing = Path::new("/nonexistent/cofferdam.toml");
    assert!(matches!(
        Config::load(Some(missing)),
        Err(ConfigError::Read { .. })
    ));
}

#[test]
fn every_key_is_documented_in_the_lines_above_it() {
    let mut documented = false;
    for line in DEFAULTS.lines() {
        if line.starts_with('#') {
            documented = true;
        } else if line.contains('=') {
            let in_jail = line.starts_with("gid");
            assert!(documented || in_jail, "no comment above: {line}");
            documented = false;
        }
    }
}
