//! A PostgreSQL of our own: one cluster for a test binary, a fresh database for each test.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{Connection, Executor, PgConnection, Row};
use tokio::sync::OnceCell;

use crate::port::free_port;

/// One database, empty at first; dropped with the fixture.
#[derive(Debug)]
pub struct Database {
    cluster: &'static Cluster,
    name: String,
    pool: PgPool,
}

/// One row of `changes`, as the servers keep them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedChange {
    /// Its place in the board's order, from 1.
    pub revision: i64,
    /// The user who drew it.
    pub author: String,
    /// The user's own number for it.
    pub seq: i64,
    /// The term under which it was saved; 0 without the contract.
    pub generation: i64,
    /// The process that saved it.
    pub owner: String,
}

impl Database {
    /// Makes a fresh database, in the cluster of this test binary, which is started at its first use.
    ///
    /// # Panics
    /// When PostgreSQL is missing or does not start; the message has its log.
    pub async fn fresh() -> Self {
        static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let cluster = CLUSTER.get_or_init(Cluster::start).await;
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        cluster.execute(&format!("CREATE DATABASE {name}")).await;
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .connect_lazy(&cluster.url(&name))
            .expect("the URL is well formed");
        Self { cluster, name, pool }
    }

    /// Returns the URL that a server connects to.
    pub fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    /// Returns connections of the test's own.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Returns what is saved of a board, in its order; nothing where no server has made the tables.
    ///
    /// # Panics
    /// When the database refuses.
    pub async fn changes(&self, board: &str) -> Vec<SavedChange> {
        let query = "SELECT revision, author, seq, generation, owner FROM changes WHERE board = $1 ORDER BY revision";
        let rows = sqlx::query(query).bind(board).fetch_all(&self.pool).await;
        let rows = rows.expect("a server has made the tables");
        rows.iter()
            .map(|row| SavedChange {
                revision: row.get("revision"),
                author: row.get("author"),
                seq: row.get("seq"),
                generation: row.get("generation"),
                owner: row.get("owner"),
            })
            .collect()
    }

    /// Returns how many changes came a second time.
    ///
    /// # Panics
    /// When the database refuses.
    pub async fn repeats(&self, board: &str) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM repeats WHERE board = $1")
            .bind(board)
            .fetch_one(&self.pool)
            .await
            .expect("a server has made the tables")
    }

    /// Returns the generation and the owner in the board's fence.
    ///
    /// # Panics
    /// When the database refuses.
    pub async fn fence(&self, board: &str) -> Option<(i64, String)> {
        let row = sqlx::query("SELECT generation, owner FROM fences WHERE board = $1")
            .bind(board)
            .fetch_optional(&self.pool)
            .await
            .expect("a server has made the tables");
        row.map(|row| (row.get("generation"), row.get("owner")))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (url, name) = (self.cluster.url("postgres"), self.name.clone());
        // Drop cannot wait for a future of the test's runtime, which may be ending.
        let dropping = std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            runtime.block_on(async {
                if let Ok(mut connection) = PgConnection::connect(&url).await {
                    let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                    let _ = connection.execute(sqlx::AssertSqlSafe(sql)).await;
                }
            });
        });
        let _ = dropping.join();
    }
}

/// A running PostgreSQL, in a directory of its own.
///
/// It ends with the test process however that ends: a shell waits for the end of a pipe that only this process holds,
/// then stops the server and removes the directory.
#[derive(Debug)]
struct Cluster {
    port: u16,
    _watchdog: Child,
}

impl Cluster {
    async fn start() -> Self {
        let started = tokio::task::spawn_blocking(|| {
            let programs = programs();
            let account = Account::of_this_machine();
            let directory = account.directory();
            let data = directory.join("data");
            let initdb = account
                .command(&programs.join("initdb"))
                .args([
                    "--no-sync",
                    "--auth=trust",
                    "--username=postgres",
                    "--encoding=UTF8",
                    "--locale=C",
                    "-D",
                ])
                .arg(&data)
                .output();
            expect_success("initdb", initdb);
            for _ in 0..5 {
                if let Some(cluster) = Self::serve(&programs, &account, &directory, &data) {
                    return cluster;
                }
            }
            let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
            panic!("PostgreSQL does not start:\n{log}");
        });
        started.await.expect("PostgreSQL starts")
    }

    /// Starts the server on a free port; none when somebody else took it meanwhile.
    fn serve(programs: &Path, account: &Account, directory: &Path, data: &Path) -> Option<Self> {
        let port = free_port();
        let pg_ctl = programs.join("pg_ctl");
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='{}' -c max_connections=300 \
             -c shared_buffers=64MB -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
             -c autovacuum=off -c max_wal_size=256MB",
            directory.display()
        );
        let status = account
            .command(&pg_ctl)
            .args(["start", "-w", "-t", "30", "-s", "-o", &options, "-l"])
            .arg(directory.join("log"))
            .arg("-D")
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !status.is_ok_and(|status| status.success()) {
            return None;
        }
        let mut stop = account.command(Path::new("sh"));
        stop.args(["-c", WATCHDOG, "sh"]).arg(&pg_ctl).arg(data).arg(directory);
        let watchdog = stop
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C goes to the whole group of the tests; the watchdog has to outlive them.
            .process_group(0)
            .spawn()
            .expect("a shell can be started");
        Some(Self {
            port,
            _watchdog: watchdog,
        })
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    async fn execute(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.url("postgres"))
            .await
            .expect("the cluster takes connections");
        connection
            .execute(sqlx::AssertSqlSafe(sql.to_owned()))
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

/// Under which account PostgreSQL runs; it refuses to run as root.
#[derive(Debug)]
enum Account {
    Ours,
    Postgres { user: u32, group: u32 },
}

impl Account {
    fn of_this_machine() -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self::Ours;
        }
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let postgres = accounts.lines().find_map(|line| line.strip_prefix("postgres:"));
        let mut fields = postgres
            .expect("Debian's package makes the account postgres")
            .split(':')
            .skip(1);
        let mut number = || fields.next().and_then(|field| field.parse().ok());
        let (user, group) = (number(), number());
        Self::Postgres {
            user: user.expect("/etc/passwd has a user number"),
            group: group.expect("/etc/passwd has a group number"),
        }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = match self {
            Self::Ours => Command::new(program),
            Self::Postgres { user, group } => {
                let mut command = Command::new("setpriv");
                command.args([
                    format!("--reuid={user}"),
                    format!("--regid={group}"),
                    "--clear-groups".into(),
                ]);
                command.arg("--").arg(program);
                command
            }
        };
        // The checkout may lie where that account cannot read.
        command.current_dir("/");
        command
    }

    /// Makes a directory that only the account reads.
    fn directory(&self) -> PathBuf {
        let directory = tempfile::Builder::new()
            .prefix("handover-pg-")
            .tempdir()
            .expect("there is room for a temporary directory")
            .keep();
        if let Self::Postgres { user, group } = self {
            chown(&directory, Some(*user), Some(*group)).expect("root may give a directory away");
        }
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(&directory, private).expect("the directory is ours");
        directory
    }
}

/// Finds the directory of the newest PostgreSQL: Debian keeps its programs out of the search path.
fn programs() -> PathBuf {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = debian
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse::<u32>().ok()?,
                entry.path().join("bin"),
            ))
        })
        .filter(|(_, programs)| programs.join("initdb").exists())
        .max();
    let elsewhere = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).find(|directory| directory.join("initdb").exists())
    };
    newest
        .map(|(_, programs)| programs)
        .or_else(elsewhere)
        .expect("PostgreSQL is missing; tests/run installs it")
}

fn expect_success(what: &str, output: std::io::Result<Output>) {
    let output = output.unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
    assert!(
        output.status.success(),
        "{what}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Waits for the end of its input, which comes when the test process ends.
const WATCHDOG: &str = r#"cat >/dev/null; "$1" stop -m immediate -s -D "$2"; rm -rf "$3""#;
