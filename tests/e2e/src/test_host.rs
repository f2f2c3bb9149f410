//! Where the tests run: here, or in the nested test host, where this same program is started again.
//!
//! The test host sees this machine's files at the same paths, so nothing is copied.

use std::env;

use anyhow::{Context, Result, bail};
use testbed::{Options, Outcome};

use crate::case::{DIST_VARIABLE, Setting};
use crate::deadlines::SCALE_VARIABLE;

/// Set inside the test host.
pub(crate) const INSIDE_VARIABLE: &str = "COFFERDAM_TESTBED";

/// Variables that mean the same on both sides.
const PASSED_ON: &[&str] = &[
    SCALE_VARIABLE,
    crate::cri_many::PODS_VARIABLE,
    crate::image_compare::KERNEL_MOUNT_VARIABLE,
    "RUST_BACKTRACE",
];

pub(crate) fn is_inside() -> bool {
    env::var_os(INSIDE_VARIABLE).is_some_and(|value| value == "1")
}

/// Why the tests can't run on this host; nothing where they can.
pub(crate) fn why_needed() -> Option<String> {
    testbed::hardware::why_no_guests()
}

/// Runs this program with the same arguments in the test host; its last line is the last line here.
pub(crate) fn run_there(setting: &Setting, reason: &str) -> Result<u8> {
    eprintln!("{reason}: the tests run inside the nested test host");
    let this = env::current_exe().context("find this program")?;
    let arguments = std::iter::once(this.into_os_string()).chain(env::args_os().skip(1));
    let command = arguments
        .map(|argument| argument.into_string())
        .collect::<Result<Vec<String>, _>>()
        .map_err(|argument| anyhow::anyhow!("the argument {argument:?} is no text"))?;
    let init = setting.dist.join("testbed-init");
    let options = Options {
        command,
        environment: environment(setting)?,
        init: init.is_file().then_some(init),
        ..Options::default()
    };
    match testbed::run(&options).context("run the tests in the test host")? {
        Outcome::Exited(code) => Ok(code),
        Outcome::TimedOut => bail!(
            "the tests took longer than {:?} in the test host",
            options.timeout
        ),
        Outcome::HostDied { reason, console } => {
            bail!("the test host died twice: {reason}\n{console}")
        }
    }
}

fn environment(setting: &Setting) -> Result<Vec<(String, String)>> {
    let dist = setting
        .dist
        .to_str()
        .context("the dist folder's path is text")?;
    let mut environment = vec![
        (INSIDE_VARIABLE.to_owned(), "1".to_owned()),
        (DIST_VARIABLE.to_owned(), dist.to_owned()),
    ];
    for name in PASSED_ON {
        if let Ok(value) = env::var(name) {
            environment.push(((*name).to_owned(), value));
        }
    }
    Ok(environment)
}
