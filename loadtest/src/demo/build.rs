//! Finds the programs of the demo: built by the cargo that runs the demo, in the same profile, or beside the demo.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    pub(super) gateway: PathBuf,
    pub(super) board_server: PathBuf,
}

impl Programs {
    /// Finds the programs in the directory of this one.
    ///
    /// # Errors
    /// Names the one that is not there.
    pub fn beside_this() -> Result<Self, BuildError> {
        let here = env::current_exe().map_err(BuildError::Nowhere)?;
        let find = |name| {
            let program = here.with_file_name(name);
            if program.is_file() {
                Ok(program)
            } else {
                let directory = here.parent().map(Path::to_owned).unwrap_or_default();
                Err(BuildError::NotBeside { name, directory })
            }
        };
        Ok(Self {
            gateway: find(GATEWAY)?,
            board_server: find(BOARD_SERVER)?,
        })
    }
}

/// Why there are no programs.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Nobody knows where this program is.
    #[error("cannot tell where this program is")]
    Nowhere(#[source] io::Error),
    /// cargo could not be started, or its output not be read.
    #[error("cannot run cargo")]
    Cargo(#[source] io::Error),
    /// It said above why.
    #[error("the gateway or the board server does not compile")]
    Compile,
    /// cargo built something else.
    #[error("cargo built no program {0}")]
    Missing(&'static str),
    /// A program that is expected beside this one is not there.
    #[error(
        "there is no program {name} in {}, where this one is: run `cargo build --bins` in the clone of Handover and start \
         it there, or copy {GATEWAY} and {BOARD_SERVER} beside it; `handover-loadtest` also takes a gateway that stands, by --traffic",
        directory.display()
    )]
    NotBeside {
        /// The program that is sought.
        name: &'static str,
        /// Where it is sought.
        directory: PathBuf,
    },
}

/// What cargo tells about each thing it built.
#[derive(Deserialize)]
struct Artifact {
    reason: String,
    #[serde(default)]
    executable: Option<PathBuf>,
}

/// Builds the programs where cargo runs this one, for it has built no other; else takes those beside this one.
///
/// # Errors
/// Says what does not compile, or what is not there.
pub(super) fn find() -> Result<Programs, BuildError> {
    match env::var_os("CARGO") {
        Some(cargo) => {
            eprintln!("Building the gateway and the board server; the first build takes minutes.");
            build(&cargo)
        }
        None => Programs::beside_this(),
    }
}

/// Builds the gateway and the board server; what cargo says meanwhile goes to standard error.
fn build(cargo: &OsStr) -> Result<Programs, BuildError> {
    let mut command = Command::new(cargo);
    command
        .args([
            "build",
            "--package",
            "handover-gateway",
            "--package",
            "handover-loadtest",
        ])
        .args(["--bin", GATEWAY, "--bin", BOARD_SERVER])
        .args(["--message-format", "json-render-diagnostics"])
        .args(["--profile", &profile()])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = command.output().map_err(BuildError::Cargo)?;
    if !output.status.success() {
        return Err(BuildError::Compile);
    }
    let artifacts: Vec<PathBuf> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok())
        .filter(|artifact| artifact.reason == "compiler-artifact")
        .filter_map(|artifact| artifact.executable)
        .collect();
    let find = |name| {
        let program = artifacts
            .iter()
            .find(|path| path.file_stem().is_some_and(|stem| stem == name));
        program.cloned().ok_or(BuildError::Missing(name))
    };
    Ok(Programs {
        gateway: find(GATEWAY)?,
        board_server: find(BOARD_SERVER)?,
    })
}

/// Returns the profile that this program was built in: its directory is named after it, but for the first.
fn profile() -> String {
    let program = env::current_exe().ok();
    let directory = program
        .as_deref()
        .and_then(|program| program.parent()?.file_name()?.to_str());
    match directory {
        Some("debug") | None => "dev".to_owned(),
        Some(profile) => profile.to_owned(),
    }
}

const GATEWAY: &str = "handover";
const BOARD_SERVER: &str = "board-server";
