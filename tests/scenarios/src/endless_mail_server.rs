//! A mail server whose greeting never ends, slow or fast. Its threads end with it or with their client. Called by the tests, on
//! their threads.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// The server. Dropped, it closes.
#[derive(Debug)]
pub struct EndlessMailServer {
    address: SocketAddr,
    open: Arc<AtomicBool>,
    said: Arc<AtomicU64>,
}

impl EndlessMailServer {
    /// One line of an endless greeting every 100 ms.
    #[must_use]
    pub fn dripping() -> Self {
        Self::saying("220-wait\r\n".to_owned(), Duration::from_millis(100))
    }

    /// A greeting whose line never ends, as fast as it is read.
    #[must_use]
    pub fn flooding() -> Self {
        Self::saying("220 ".repeat(16 * 1024), Duration::ZERO)
    }

    fn saying(words: String, pause: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap_or_else(|error| panic!("no port: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let server = Self { address, open: Arc::new(AtomicBool::new(true)), said: Arc::default() };
        let (open, said) = (Arc::clone(&server.open), Arc::clone(&server.said));
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let (open, said, words) = (Arc::clone(&open), Arc::clone(&said), words.clone());
                if !open.load(Ordering::SeqCst) {
                    return;
                }
                thread::spawn(move || {
                    while open.load(Ordering::SeqCst) && client.write_all(words.as_bytes()).is_ok() {
                        said.fetch_add(words.len() as u64, Ordering::SeqCst);
                        thread::sleep(pause);
                    }
                });
            }
        });
        server
    }

    /// The value of `guestly_sync.smtp_url`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Bytes sent to all clients.
    #[must_use]
    pub fn said(&self) -> u64 {
        self.said.load(Ordering::SeqCst)
    }
}

impl Drop for EndlessMailServer {
    fn drop(&mut self) {
        self.open.store(false, Ordering::SeqCst);
        // Wakes the listener, which then sees it.
        let _ = TcpStream::connect(self.address);
    }
}
