//! The gateway under a supervisor: what it tells, and sockets that outlive it.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handover_tests::{BoardServer, Database, Gateway, Process, Program, Route, User, binary, eventually, free_port};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The supervisor's end: everything that it was told, in order.
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("the directory was just made");
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        // It ends with the test's process.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
                heard.lock().expect("nothing panics while it is held").push(message);
            }
        });
        Self(told)
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().expect("nothing panics while it is held").clone()
    }

    fn with(&self, line: &str) -> Vec<String> {
        let has = |message: &String| message.lines().any(|told| told == line);
        self.all().into_iter().filter(has).collect()
    }

    async fn heard(&self, line: &str, times: usize) {
        eventually(&format!("{line} was told {times} times"), SOON, || async {
            self.with(line).len() >= times
        })
        .await;
    }
}

#[tokio::test]
async fn a_supervisor_is_told_when_the_gateway_serves_reloads_lives_and_ends() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let path = folder.path().join("notify");
    let told = Told::listen(&path);
    let database = Database::fresh().await;
    let server = BoardServer::builder(Program::Reference, "board-1", "r1", &database);
    let server = server.start().await;
    let gateway = Gateway::builder("r1")
        .server(&server)
        .route(&Route::whiteboard())
        .variable("NOTIFY_SOCKET", &path.display().to_string())
        .variable("WATCHDOG_USEC", "200000")
        .launch();
    told.heard("READY=1", 1).await;
    TcpStream::connect(gateway.traffic())
        .await
        .expect("it serves once it says so");
    gateway.all_ready().await;
    told.heard("WATCHDOG=1", 5).await;
    let _ann = User::join(gateway.traffic(), "b", "ann").await;
    told.heard("STATUS=serving 1 sessions on 1 boards; 1 of 1 servers are ready", 1)
        .await;

    gateway.process().hang_up();
    told.heard("READY=1", 2).await;
    let reloading = told.with("RELOADING=1");
    let [reloading] = reloading.as_slice() else {
        panic!("{:?}", told.all());
    };
    let clock = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(clock.is_some_and(|clock| clock.parse::<u64>().is_ok()), "{reloading}");

    // One that is refused has ended too: a supervisor would wait for it for ever.
    std::fs::write(gateway.directory().join("handover.toml"), "wrong").expect("it can be written");
    gateway.process().hang_up();
    told.heard("READY=1", 3).await;
    let last = told.with("READY=1").pop().expect("there are three");
    assert!(last.contains("the old one holds"), "{last}");

    assert!(told.with("STOPPING=1").is_empty());
    gateway.process().terminate();
    told.heard("STOPPING=1", 1).await;
    assert!(gateway.process().exited(SOON).await.success());
}

#[tokio::test]
async fn whoever_connects_while_the_gateway_restarts_is_served_by_the_next() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let database = Database::fresh().await;
    let server = BoardServer::builder(Program::Reference, "board-1", "r1", &database);
    let server = server.start().await;
    let gateway = Gateway::builder("r1").server(&server).route(&Route::whiteboard());
    let mut gateway = gateway.handed(socket).start().await;
    let mut ann = User::join(gateway.traffic(), "b", "ann").await;
    let seq = ann.draw().await;
    ann.saved(seq).await;
    gateway.process().terminate();
    assert!(gateway.process().exited(SOON).await.success());

    let mut callers = Vec::new();
    for _ in 0..50 {
        let mut caller = TcpStream::connect(gateway.traffic()).await.expect("the socket is open");
        let request = b"GET /nothing HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n";
        caller.write_all(request).await.expect("the kernel takes it");
        callers.push(caller);
    }
    gateway.restart().await;
    for mut caller in callers {
        assert_eq!(status_line(&mut caller).await, "HTTP/1.1 404 Not Found");
    }
    let mut ann = User::join(gateway.traffic(), "b", "ann").await;
    let seq = ann.draw().await;
    ann.saved(seq).await;
}

#[tokio::test]
async fn systemd_starts_the_gateway_with_the_first_client_and_hands_it_over() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let [traffic, admin] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    // Nobody ever comes to the server: that the gateway is there is what is tried.
    let text = format!(
        "[listen]\ntraffic = [\"{traffic}\"]\nadmin = \"{admin}\"\n[registry]\nfile = \"handover.db\"\n\
         [releases]\ncurrent = \"r1\"\n[[servers]]\nname = \"board-1\"\nurl = \"http://127.0.0.1:{}\"\nrelease = \"r1\"\n\
         [[routes]]\nname = \"boards\"\nboard = {{ path = \"/{{board}}\" }}\n",
        free_port()
    );
    std::fs::write(folder.path().join("handover.toml"), text).expect("the folder was just made");
    let mut command = Command::new("systemd-socket-activate");
    command.args(["--listen", &traffic, "--fdname", "traffic"]);
    command
        .arg(binary("handover"))
        .args(["serve", "--config", "handover.toml"]);
    command.current_dir(folder.path());
    let process = Process::start("socket-activate", &command);
    eventually("somebody listens", SOON, || async {
        TcpStream::connect(&traffic).await.is_ok()
    })
    .await;
    let mut client = TcpStream::connect(&traffic).await.expect("somebody listens");
    let request = b"GET /a/b HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n";
    client.write_all(request).await.expect("the kernel takes it");
    assert_eq!(
        status_line(&mut client).await,
        "HTTP/1.1 404 Not Found",
        "{}",
        process.tail()
    );
}

async fn status_line(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok_and(|read| read.is_ok()), "the gateway answers");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.lines().next().unwrap_or_default().to_owned()
}

/// Far more than it takes.
const SOON: Duration = Duration::from_secs(60);
