//! Entry point of `cofferdam`: reads the command line, hands the command to its module, turns the result into an exit code.

mod args;
mod check;
mod config;
mod image;
mod output;

use std::{io::Write, process::ExitCode};

use clap::Parser;

use args::{Arguments, Command};
use config::Config;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(error) => {
            drop(writeln!(std::io::stderr().lock(), "cofferdam: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if let Command::Config = arguments.command {
        output::line(config::DEFAULTS.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::load(arguments.config.as_deref())?;
    match &arguments.command {
        Command::Image(command) => image::image(&config, command)?,
        Command::Check(check) => {
            if !check::check(&config, check.output.json)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Run(_) | Command::Version(_) | Command::Config => {}
    }
    Ok(ExitCode::SUCCESS)
}
