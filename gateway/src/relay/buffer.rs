//! One read buffer a thread, so that an idle session holds none.

use std::cell::RefCell;

/// Larger than what a busy socket has at once: a read that does not fill it has emptied the socket.
pub const BUFFER_BYTES: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER_BYTES].into_boxed_slice());
}

/// Lends the thread's buffer out; the borrower must not ask for it again, nor await.
pub(super) fn with_buffer<T>(borrower: impl FnOnce(&mut [u8]) -> T) -> T {
    BUFFER.with_borrow_mut(|buffer| borrower(buffer))
}
