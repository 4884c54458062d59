//! The sources of a package, without comments and tests.

use std::fs;
use std::path::{Path, PathBuf};

use handover_tests::workspace;

/// One file.
pub(super) struct Source {
    path: String,
    code: String,
    /// The path below `src` without its ending: `board/gate`, `board`.
    place: String,
}

impl Source {
    /// Reads the files of a package's `src`.
    pub(super) fn of_package(package: &str) -> Vec<Self> {
        let root = workspace().join(package).join("src");
        let mut files = Vec::new();
        walk(&root, &mut files);
        assert!(!files.is_empty(), "{package} has no sources");
        files.iter().map(|file| Self::read(&root, file)).collect()
    }

    fn read(root: &Path, file: &Path) -> Self {
        let text = fs::read_to_string(file).expect("the file was just listed");
        let below = file.strip_prefix(root).expect("the file lies below");
        let place = below.with_extension("").to_string_lossy().into_owned();
        Self {
            path: file.display().to_string(),
            code: code_of(&text),
            place: place.strip_suffix("/mod").map_or(place.clone(), str::to_owned),
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn code(&self) -> &str {
        &self.code
    }

    /// The top-level module that the file belongs to.
    pub(super) fn module(&self) -> &str {
        self.place.split('/').next().unwrap_or_default()
    }

    /// How often `super` leads from here to the crate.
    pub(super) fn depth(&self) -> usize {
        match self.place.as_str() {
            "lib" | "main" => 0,
            place => place.split('/').count(),
        }
    }
}

/// Drops comments, and everything behind the first test module: tests may reach anywhere.
fn code_of(text: &str) -> String {
    let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    lines
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Lists Rust files, without those that hold only tests.
fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries {
        let path = entry.expect("the directory can be read").path();
        let is_for_tests = path.file_stem().is_some_and(|stem| stem == "tests");
        if is_for_tests {
            continue;
        }
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn comments_and_tests_are_no_code() {
    let text = "use a; // tokio\n/// tokio\nfn b() {}\n#[cfg(test)]\nmod tests {\n    use tokio;\n}\n";
    let code = code_of(text);
    assert!(code.contains("use a;") && code.contains("fn b()"), "{code}");
    assert!(!code.contains("tokio"), "{code}");
}
