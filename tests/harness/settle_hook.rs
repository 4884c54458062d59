//! The hook that a route asks whether somebody's server has saved a board.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use http::{StatusCode, Uri};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Answers 204 or 503 as it is told, and notes who asked.
#[derive(Debug)]
pub struct SettleHook {
    address: SocketAddr,
    word: Arc<Word>,
    serving: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Word {
    is_saved: AtomicBool,
    asked: Mutex<Vec<String>>,
}

impl SettleHook {
    /// Starts a hook that says of no board that it is saved.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("the listener is bound");
        let word = Arc::new(Word::default());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&word));
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { address, word, serving }
    }

    /// Returns what a route names, in TOML.
    pub fn toml(&self) -> String {
        format!("\"http://{}/saved/{{board}}\"", self.address)
    }

    /// Says from now on that boards are saved.
    pub fn confirm(&self) {
        self.word.is_saved.store(true, Ordering::SeqCst);
    }

    /// Returns the paths that were asked for.
    pub fn asked(&self) -> Vec<String> {
        self.word.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for SettleHook {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(State(word): State<Arc<Word>>, uri: Uri) -> StatusCode {
    let mut asked = word.asked.lock().unwrap_or_else(PoisonError::into_inner);
    asked.push(uri.path().to_owned());
    match word.is_saved.load(Ordering::SeqCst) {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}
