//! The SELinux labels that sandboxes and containers ask for. Main functions: [`check_level`], [`selinux_label`].
//!
//! Where there is no SELinux they mean nothing and are ignored, as containerd does it; but a level that can't be one is refused everywhere. No guest's
//! kernel has SELinux. The node may.

use cri::v1::{ContainerConfig, SeLinuxOption};

use super::refusal::Refusal;

/// Refuses what is no level, such as "s0", "s0:c1,c3.c7" or "s0-s15:c0.c1023".
pub(super) fn check_level(options: Option<&SeLinuxOption>) -> Result<(), Refusal> {
    let level = options.map_or("", |options| options.level.as_str());
    let mut ends = level.splitn(2, '-');
    if level.is_empty() || ends.all(is_level) {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "the level {level:?} of selinux_options is none: one looks like \"s0:c1,c3.c7\""
    )))
}

/// What a container asks for that is to be confined; a privileged one is not.
pub(crate) fn selinux_label(config: &ContainerConfig) -> Option<String> {
    let linux = config.linux.as_ref()?;
    let security = linux.security_context.as_ref()?;
    let options = security.selinux_options.as_ref();
    let SeLinuxOption {
        user,
        role,
        r#type,
        level,
    } = options.filter(|_asked| !security.privileged)?;
    let parts = [user, role, r#type, level].map(String::as_str);
    let says = parts.iter().any(|part| !part.is_empty());
    says.then(|| parts.join(":"))
}

/// A sensitivity, and categories or ranges of them.
fn is_level(text: &str) -> bool {
    let (sensitivity, categories) = match text.split_once(':') {
        Some((sensitivity, categories)) => (sensitivity, Some(categories)),
        None => (text, None),
    };
    let mut categories = categories
        .into_iter()
        .flat_map(|list| list.split([',', '.']));
    is_numbered('s', sensitivity) && categories.all(|category| is_numbered('c', category))
}

fn is_numbered(letter: char, text: &str) -> bool {
    const MOST_DIGITS: usize = 4;
    text.strip_prefix(letter).is_some_and(|number| {
        (1..=MOST_DIGITS).contains(&number.len())
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use cri::v1::{LinuxContainerConfig, LinuxContainerSecurityContext};

    use super::*;

    fn options(level: &str) -> SeLinuxOption {
        SeLinuxOption {
            level: level.to_owned(),
            ..SeLinuxOption::default()
        }
    }

    #[test]
    fn level_is_a_range_of_sensitivities_with_categories() {
        let check = |level: &str| check_level(Some(&options(level)));
        for level in [
            "",
            "s0",
            "s0-s15",
            "s0:c1",
            "s0:c1,c3.c7",
            "s0-s15:c0.c1023",
        ] {
            check(level).unwrap();
        }
        for level in [
            "top",
            "s",
            "c1",
            "s0:",
            "s0:x",
            "s0:c1,",
            "s0-",
            "s0:c10000",
        ] {
            let refusal = check(level).unwrap_err();
            assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal:?}");
            assert!(refusal.to_string().contains(level), "{refusal}");
        }
        check_level(None).unwrap();
    }

    #[test]
    fn label_is_of_a_container_that_is_to_be_confined() {
        let label = |options: SeLinuxOption, privileged| {
            selinux_label(&ContainerConfig {
                linux: Some(LinuxContainerConfig {
                    security_context: Some(LinuxContainerSecurityContext {
                        selinux_options: Some(options),
                        privileged,
                        ..LinuxContainerSecurityContext::default()
                    }),
                    ..LinuxContainerConfig::default()
                }),
                ..ContainerConfig::default()
            })
        };
        assert_eq!(label(options("s0"), false).as_deref(), Some(":::s0"));
        assert_eq!(label(options("s0"), true), None);
        assert_eq!(label(SeLinuxOption::default(), false), None);
        assert_eq!(selinux_label(&ContainerConfig::default()), None);
    }
}
