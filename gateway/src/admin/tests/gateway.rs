//! A control plane to be called, and how its answers are read.

use std::net::SocketAddr;
use std::sync::Arc;

use handover_protocol::admin::Problem;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::AdminConfig;
use crate::drain::memory_fleet::{Handle, MemoryFleet};
use crate::drain::tests::Life;

/// A gateway's control plane behind its admin socket.
pub(super) struct Gateway {
    pub(super) life: Life,
    pub(super) fleet: Arc<MemoryFleet>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) access: Arc<Access>,
    pub(super) address: SocketAddr,
    _folder: TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Gateway {
    pub(super) async fn start(boards: u64) -> Self {
        let gateway = Self::boot(boards).await;
        gateway.life.drains.resume().await.unwrap();
        gateway
    }

    pub(super) async fn boot(boards: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fleet = MemoryFleet::new(boards);
        let life = Life::prepare(folder.path(), &fleet, "r1");
        let readiness = Arc::new(Readiness::new(life.shutdown.clone()));
        let access = Access::new(AdminConfig::default());
        let admin = Admin {
            drains: Arc::clone(&life.drains),
            fleet: Arc::new(Handle(Arc::clone(&fleet))),
            metrics: Arc::clone(&life.metrics),
            readiness: Arc::clone(&readiness),
            reload: ReloadDesk::open().0,
            access: Arc::clone(&access),
            home: tokio::runtime::Handle::current(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, admin, life.tasks.clone(), life.shutdown.clone()));
        Self {
            life,
            fleet,
            readiness,
            access,
            address,
            _folder: folder,
        }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "").await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        let headers = [("Content-Type", "application/json")];
        self.call("POST", path, &headers, &body.to_string()).await
    }

    pub(super) async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            request += &format!("Host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        self.raw(request.as_bytes()).await
    }

    pub(super) async fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head[9..12].parse().unwrap(),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    pub(super) async fn drained(&self, id: &str) -> DrainStatus {
        for _ in 0..1000 {
            let status: DrainStatus = self.get(&format!("/v1/drains/{id}")).await.json(200);
            if status.state != DrainState::Running {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("drain {id} does not end");
    }
}

impl Answer {
    pub(super) fn json<T: DeserializeOwned>(&self, status: u16) -> T {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_str(&self.body).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let line = |line: &'_ str| {
            line.split_once(": ")
                .map(|(name, value)| (name.to_owned(), value.len()))
        };
        self.head.lines().find_map(|text| {
            let (found, length) = line(text)?;
            (found == name).then(|| &text[text.len() - length..])
        })
    }

    #[track_caller]
    pub(super) fn refusal(&self, kind: ProblemType, field: Option<&str>) -> Problem {
        assert_eq!(self.status, kind.status(), "{}", self.body);
        assert_eq!(self.header("content-type"), Some(Problem::MEDIA_TYPE));
        let problem: Problem = serde_json::from_str(&self.body).unwrap();
        assert_eq!((problem.kind, problem.field.as_deref()), (kind, field), "{}", self.body);
        assert_eq!(problem.status, self.status);
        problem
    }
}
