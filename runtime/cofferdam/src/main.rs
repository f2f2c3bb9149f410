//! Entry point of `cofferdam`: reads the command line, hands the command to its module, turns the result into an exit code.

mod args;
mod check;
mod config;
mod daemon;
mod image;
mod output;
mod run;
mod serve;
mod version;

use std::{io::Write, process::ExitCode};

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::{Arguments, Command, LogFormat};
use config::Config;
use daemon::Question;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log(&arguments.command);
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(error) => {
            drop(writeln!(std::io::stderr().lock(), "cofferdam: {error:#}"));
            match arguments.command {
                Command::Run(_) => ExitCode::from(run::COFFERDAM_FAILED),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn dispatch(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Config => {
            output::line(config::DEFAULTS.trim_end())?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Version(output) => {
            version::version(output.json)?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let config = Config::load(arguments.config.as_deref())?;
    match &arguments.command {
        Command::Image(command) => image::image(&config, command)?,
        Command::Images(output) => image::list(&config, output)?,
        Command::Pods(arguments) => daemon::ask(&config, Question::Pods(arguments))?,
        Command::Ps(arguments) => daemon::ask(&config, Question::Containers(arguments))?,
        Command::Inspect(arguments) => daemon::ask(&config, Question::Inspect(arguments))?,
        Command::Check(arguments) => {
            if !check::check(&config, arguments)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Run(arguments) => return Ok(run::run(&config, arguments)),
        Command::Serve(_) => serve::serve(&config)?,
        // Answered above, without a configuration.
        Command::Version(_) | Command::Config => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// The log goes to standard error; COFFERDAM_LOG says how much of it (as in tracing-subscriber's EnvFilter). By default a command says
/// warnings, the daemon also what changes.
fn start_log(command: &Command) {
    let (usual, format) = match command {
        Command::Serve(arguments) => ("info", arguments.log_format),
        _ => ("warn", LogFormat::Text),
    };
    let filter =
        EnvFilter::try_from_env("COFFERDAM_LOG").unwrap_or_else(|_unset| EnvFilter::new(usual));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}
