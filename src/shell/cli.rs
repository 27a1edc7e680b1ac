//! The command line.

use std::path::PathBuf;

use clap::{CommandFactory, Parser};

use super::commands::SweepCommand;
use super::folders::{DataFolder, path};
use super::jupyter::JupyterCommand;
use super::version::VERSION;

/// A research shell for the thermodynamics of learning.
///
/// Without a file or an expression it starts the prompt.
#[derive(Parser)]
#[command(name = "kelvin", version = VERSION.as_str(), after_help = AFTER_HELP)]
pub(super) struct CommandLine {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: Run,
}

/// Running a script, an expression or the prompt.
#[derive(clap::Args)]
pub(super) struct Run {
    /// The script to run; `-` is standard input
    pub file: Option<PathBuf>,
    /// Evaluate an expression and print its value
    #[arg(short, long, value_name = "EXPR", conflicts_with = "file")]
    pub eval: Option<String>,
    /// An argument that the script reads with arg(name, default)
    #[arg(short = 'D', value_name = "NAME=VALUE", value_parser = definition)]
    pub define: Vec<(String, String)>,
    /// No progress display and no banner
    #[arg(short, long)]
    pub quiet: bool,
    /// Show values as JSON, a line each
    #[arg(long)]
    pub json: bool,
    /// Let the script write below this folder, too; by default it may below the current one
    #[arg(long, value_name = "PATH", value_parser = path())]
    pub allow_write: Vec<PathBuf>,
    /// Let the script put shell lines into the job scripts of a cluster: slurm(#{setup})
    #[arg(long)]
    pub allow_shell: bool,
    #[command(flatten)]
    pub data: DataFolder,
}

impl CommandLine {
    /// Ends the program where what stands before a command means nothing to it.
    pub fn refuse_what_is_lost(&self) {
        let Run { file, eval, define, quiet, json, allow_write, allow_shell, data } = &self.run;
        let of_script = file.is_some()
            || eval.is_some()
            || !define.is_empty()
            || *quiet
            || *json
            || !allow_write.is_empty()
            || *allow_shell;
        let has_folder = matches!(self.command, None | Some(Command::Run(_) | Command::Data { .. }));
        if self.command.is_some() && (of_script || (data.data_dir.is_some() && !has_folder)) {
            let text = "expected options after the command that they are for: kelvin run -q FILE";
            Self::command().error(clap::error::ErrorKind::ArgumentConflict, text).exit();
        }
    }
}

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Run a script; `kelvin FILE` does the same
    Run(Run),
    /// List the data sets: which are there, and how to get the others; or tell about one
    Data {
        /// The data set
        name: Option<String>,
        #[command(flatten)]
        folder: DataFolder,
    },
    /// Look at a script without running it: unknown names, options and values, plans that nothing
    /// uses
    Check {
        /// The scripts
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Write the reference as Markdown, and definitions of all functions for editors
    Doc {
        /// The folder
        #[arg(default_value = "kelvin-doc")]
        folder: PathBuf,
    },
    /// Notebooks: register kelvin with Jupyter
    #[command(subcommand)]
    Jupyter(JupyterCommand),
    /// Print the completions of the command line for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    #[command(flatten)]
    Sweeps(SweepCommand),
}

const AFTER_HELP: &str = "\
Examples:
  kelvin scripts/quickstart.rhai -D epochs=10
  kelvin -e 'resnet(#{ width: 32 }).parameters'
  kelvin ls results/quickstart
  kelvin data

Exit codes: 0, 1 (the script failed, or runs of it diverged or failed), 2 (usage), 130 (interrupted).";

fn definition(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("expected NAME=VALUE, found {text}")),
    }
}
