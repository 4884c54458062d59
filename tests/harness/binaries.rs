//! The programs under test, as this checkout builds them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Returns the path of a program of the workspace, built before the first use in this process.
///
/// Building is left out where `HANDOVER_BINARIES=built` says that it has just been done.
///
/// # Panics
/// When the workspace does not compile, or has no such program.
pub fn binary(name: &str) -> PathBuf {
    let path = profile_directory().join(name);
    if std::env::var("HANDOVER_BINARIES").as_deref() != Ok("built") {
        BUILD.get_or_init(build);
    }
    assert!(path.exists(), "no program {name} at {}", path.display());
    path
}

/// Returns the root of the checkout.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in a directory of the workspace")
}

fn build() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--workspace", "--bins"]);
    if profile_directory().ends_with("release") {
        command.arg("--release");
    }
    let status = command.current_dir(workspace()).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "the programs under test do not compile"
    );
}

/// The directory above `deps`, where cargo put this very test.
fn profile_directory() -> PathBuf {
    let mut path = std::env::current_exe().expect("a test knows where it lies");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path
}

static BUILD: OnceLock<()> = OnceLock::new();
