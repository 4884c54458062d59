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
    /// The places of the modules that the file declares for tests only.
    for_tests: Vec<String>,
}

impl Source {
    /// Reads the files of a package's `src`, those aside that are built for tests only.
    pub(super) fn of_package(package: &str) -> Vec<Self> {
        let root = workspace().join(package).join("src");
        let mut files = Vec::new();
        walk(&root, &mut files);
        assert!(!files.is_empty(), "{package} has no sources");
        let mut sources: Vec<Self> = files.iter().map(|file| Self::read(&root, file)).collect();
        let for_tests: Vec<String> = sources.iter().flat_map(|source| source.for_tests.clone()).collect();
        sources.retain(|source| {
            let is_below = |module: &String| {
                let below = source.place.strip_prefix(module.as_str());
                below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            !for_tests.iter().any(is_below)
        });
        sources
    }

    fn read(root: &Path, file: &Path) -> Self {
        let text = fs::read_to_string(file).expect("the file was just listed");
        let below = file.strip_prefix(root).expect("the file lies below");
        let stem = below.with_extension("").to_string_lossy().into_owned();
        let place = stem.strip_suffix("/mod").unwrap_or(&stem).to_owned();
        let (code, modules) = without_tests(&text);
        let directory = match place.as_str() {
            "lib" | "main" => String::new(),
            place => format!("{place}/"),
        };
        Self {
            path: file.display().to_string(),
            code,
            for_tests: modules.iter().map(|module| format!("{directory}{module}")).collect(),
            place,
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

/// Drops comments, and items that are built for tests only; returns the names of modules among those.
///
/// Sources are formatted, so that an item ends with a semicolon or with a brace at its own indentation.
fn without_tests(text: &str) -> (String, Vec<String>) {
    let (mut code, mut modules) = (String::new(), Vec::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            let indentation = &line[..line.len() - line.trim_start().len()];
            let end = format!("{indentation}}}");
            for line in lines.by_ref() {
                let item = line.trim();
                if let Some(module) = item.strip_suffix(';').and_then(|item| item.rsplit_once("mod ")) {
                    modules.push(module.1.to_owned());
                }
                if line == end
                    || (line.starts_with(indentation) && item.ends_with(';') && !is_inside(line, indentation))
                {
                    break;
                }
            }
            continue;
        }
        code.push_str(line.split_once("//").map_or(line, |(code, _)| code));
        code.push('\n');
    }
    (code, modules)
}

/// Reads whether a line is indented deeper than the item that it belongs to.
fn is_inside(line: &str, indentation: &str) -> bool {
    line[indentation.len()..].starts_with(' ')
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries {
        let path = entry.expect("the directory can be read").path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn comments_and_tests_are_no_code() {
    let text = "use a; // tokio\n#[cfg(test)]\nmod table;\n/// tokio\nfn b() {}\nimpl C {\n    #[cfg(test)]\n    fn d() {\n        \
                tokio();\n    }\n    fn e() {}\n}\n#[cfg(test)]\nmod tests {\n    use tokio;\n}\nfn f() {}\n";
    let (code, modules) = without_tests(text);
    assert_eq!(modules, ["table"]);
    for kept in ["use a;", "fn b()", "fn e()", "fn f()"] {
        assert!(code.contains(kept), "{code}");
    }
    assert!(!code.contains("tokio") && !code.contains("table"), "{code}");
}
