//! The gateway under a supervisor: what it tells, and sockets that outlive it.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
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

#[tokio::test]
async fn a_socket_that_cannot_be_listened_on_is_named_with_what_to_write_in_its_unit() {
    let listener = || TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let check = async |handed: OwnedFd, count: &str, names: &str, words: &[&str]| {
        let gateway = Gateway::builder("r1").route(&Route::whiteboard());
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let [traffic, admin] = [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let nobody = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let text = gateway.origin("board-1", "r1", nobody).file(traffic, admin);
        std::fs::write(folder.path().join("handover.toml"), text).expect("the folder was just made");
        let mut command = Command::new("sh");
        let steps = format!(
            "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES={names}; exec \"$0\" \"$@\""
        );
        command.args(["-c", &steps]).arg(binary("handover"));
        command
            .args(["serve", "--config", "handover.toml"])
            .current_dir(folder.path());
        let process = Process::start_with("gateway", &command, handed.into());
        let status = process.exited(SOON).await;
        assert!(!status.success(), "{}", process.tail());
        let said = process.errors();
        assert!(words.iter().all(|word| said.contains(word)), "{words:?} in {said}");
    };
    let packets = UdpSocket::bind("127.0.0.1:0").expect("there is a free port");
    let named = ["descriptor 3", "\"traffic\""];
    let udp = [named[0], named[1], "UDP", "ListenStream="];
    check(packets.into(), "1", "traffic", &udp).await;

    let open = listener();
    let address = open.local_addr().expect("it is open");
    let connection = std::net::TcpStream::connect(address).expect("it listens");
    let silent = [named[0], named[1], "does not listen", "Accept=no"];
    check(connection.into(), "1", "traffic", &silent).await;

    let folder = tempfile::tempdir().expect("there is room for a folder");
    let unix = UnixListener::bind(folder.path().join("socket")).expect("the folder was just made");
    check(unix.into(), "1", "traffic", &[named[0], "Unix socket", "ListenStream="]).await;
    let file = File::open("/dev/null").expect("it is everywhere");
    check(file.into(), "1", "traffic", &[named[0], "no open socket"]).await;

    let too_many = ["descriptor 4", "\"traffic_tls\"", "LISTEN_FDS counts more"];
    check(listener().into(), "2", "traffic:traffic_tls", &too_many).await;
    let unnamed = ["LISTEN_FDS hands over 1 sockets", "names 2", "FileDescriptorName="];
    check(listener().into(), "1", "traffic:traffic_tls", &unnamed).await;
    for count in ["one", "-1", "1000000000"] {
        let no_count = [&format!("LISTEN_FDS = \"{count}\"") as &str, "Environment="];
        check(listener().into(), count, "traffic", &no_count).await;
    }
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
