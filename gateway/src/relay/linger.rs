//! How a connection ends so that nothing the kernel has accepted is thrown away.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::tls::Wire;

/// Shuts the write side down and reads to the end of the stream, then closes.
///
/// A close with unread bytes makes the kernel reset the connection, and the peer loses what it had not read yet.
/// Dropping the future closes at once.
pub async fn linger(mut stream: Wire, longest: Duration) {
    // What fails here has ended already.
    let _ = timeout(longest, async {
        let _ = stream.shutdown().await;
        let mut rest = [0; 2048];
        while stream.read(&mut rest).await.is_ok_and(|length| length > 0) {}
    })
    .await;
}
