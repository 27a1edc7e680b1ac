//! kelvin in notebooks: a Jupyter kernel
//! (<https://jupyter-client.readthedocs.io/en/latest/messaging.html>).
//!
//! One thread talks to the clients (`wire.rs`), this one evaluates (`kernel.rs`): a cell that
//! trains for an hour delays no heartbeat, and can be interrupted.

mod kernel;
mod news;
mod notebook;
mod replies;
mod request;
mod wire;

use std::path::{Path, PathBuf};

use jupyter_protocol::{ConnectionInfo, JupyterKernelspec, Transport};

use super::folders::{DataFolder, path};
use super::interpreter::Interpreter;
use crate::error::{Error, Result};
use crate::script::print;

/// What `kelvin jupyter` does.
#[derive(clap::Subcommand)]
pub(super) enum JupyterCommand {
    /// Register kelvin, so that notebooks offer it
    Install(Install),
    /// Serve a notebook; Jupyter calls this
    Run {
        /// The connection file that Jupyter wrote
        file: PathBuf,
        /// Let notebooks write below this folder, too
        #[arg(long, value_name = "PATH", value_parser = path())]
        allow_write: Vec<PathBuf>,
        #[command(flatten)]
        data: DataFolder,
    },
}

/// How the kernel is registered.
#[derive(clap::Args)]
pub(super) struct Install {
    /// Below PREFIX/share/jupyter, such as a virtual environment, rather than for the user
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<PathBuf>,
    /// What Jupyter calls the kernel
    #[arg(long, default_value = "kelvin")]
    name: String,
    /// Let notebooks write below this folder, too; by default they may below their own
    #[arg(long, value_name = "PATH", value_parser = path())]
    allow_write: Vec<PathBuf>,
    #[command(flatten)]
    data: DataFolder,
}

/// Writes the kernel's specification where Jupyter looks for it:
/// <https://jupyter-client.readthedocs.io/en/latest/kernels.html#kernel-specs>.
pub(super) fn install(options: &Install) -> Result<()> {
    let name = &options.name;
    if name.is_empty()
        || name.starts_with('.')
        || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    {
        return Err(Error::invalid(format!(
            "--name: expected letters, digits, `-`, `_` or `.`, found {name}"
        )));
    }
    let data = match &options.prefix {
        Some(prefix) => prefix.join("share/jupyter"),
        None => user_folder()?,
    };
    let folder = data.join("kernels").join(name);
    let program = std::env::current_exe().map_err(|error| Error::io("kelvin", error))?;
    let mut argv =
        vec![text(&program)?, "jupyter".to_owned(), "run".to_owned(), "{connection_file}".to_owned()];
    let absolute = |path: &Path| std::path::absolute(path).map_err(|error| Error::io(path, error));
    for path in &options.allow_write {
        argv.extend(["--allow-write".to_owned(), text(&absolute(path)?)?]);
    }
    if let Some(path) = &options.data.data_dir {
        argv.extend(["--data-dir".to_owned(), text(&absolute(path)?)?]);
    }
    let specification = JupyterKernelspec {
        argv,
        display_name: if name == "kelvin" { name.clone() } else { format!("kelvin ({name})") },
        language: "rhai".to_owned(),
        metadata: Some(Default::default()),
        interrupt_mode: Some("signal".to_owned()),
        env: Some(Default::default()),
    };
    let file = folder.join("kernel.json");
    let json = serde_json::to_string_pretty(&specification)
        .map_err(|error| Error::invalid(format!("{}: {error}", file.display())))?;
    crate::files::write_bytes(&file, (json + "\n").as_bytes())?;
    print(&format!(
        "{}: notebooks offer the kernel {name} now; `jupyter kernelspec remove {name}` takes it back",
        file.display()
    ));
    Ok(())
}

fn text(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Error::invalid(format!("{}: expected a path in UTF-8", path.display())))
}

/// The user's own folder of Jupyter.
fn user_folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("JUPYTER_DATA_DIR").filter(|folder| !folder.is_empty()) {
        return Ok(folder.into());
    }
    let home = |below: &str| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(below));
    let folder = match std::env::var_os("XDG_DATA_HOME").filter(|folder| !folder.is_empty()) {
        _ if cfg!(target_os = "macos") => home("Library/Jupyter"),
        Some(folder) => Some(PathBuf::from(folder).join("jupyter")),
        None => home(".local/share/jupyter"),
    };
    folder.ok_or_else(|| {
        Error::invalid("no home folder is known; name a place: kelvin jupyter install --prefix PREFIX")
    })
}

/// Whether only this machine reaches the sockets.
fn is_private(connection: &ConnectionInfo) -> bool {
    let is_loopback = |ip: &str| ip.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    connection.transport == Transport::IPC || connection.ip == "localhost" || is_loopback(&connection.ip)
}

/// Serves a notebook until it is closed.
pub(super) fn serve(file: &Path, interpreter: Interpreter) -> Result<()> {
    let json = crate::door::text(file)?;
    let mut connection: ConnectionInfo = serde_json::from_str(&json).map_err(|error| {
        Error::invalid(format!(
            "{}: expected a connection file, as Jupyter writes them: {error}",
            file.display()
        ))
    })?;
    if connection.signature_scheme != "hmac-sha256" {
        return Err(Error::invalid(format!(
            "{}: expected the signature scheme hmac-sha256, found {}",
            file.display(),
            connection.signature_scheme
        )));
    }
    if connection.ip == "*" {
        connection.ip = "0.0.0.0".to_owned();
    }
    if connection.key.is_empty() && !is_private(&connection) {
        return Err(Error::invalid(format!(
            "{}: expected a key, found none: on the address {} whoever reaches it could run anything; \
             without one kelvin listens on 127.0.0.1 only",
            file.display(),
            connection.ip
        )));
    }
    kernel::Kernel::start(connection, interpreter)?.serve();
    Ok(())
}
