//! Receivers of webhooks that note how long deliveries took: healthy ones, one that takes a request a second, and one that
//! never answers.

use crate::deliveries::poster::now_micros;
use crate::load::http::{Head, read_more};
use crate::load::latency::Latency;
use anyhow::Context;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// The member of an event with the time at which it was posted.
const SENT: &[u8] = b"\"sent_micros\":";

/// A receiver at work on a free loopback port, until dropped. What it does depends on the path: `/slow` answers one request
/// a second, `/dead` never answers, any other answers at once.
#[derive(Debug)]
pub(crate) struct Sink {
    address: SocketAddr,
    seen: Arc<Seen>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Events that came to healthy receivers.
    events: AtomicU64,
    /// How long they took from being posted.
    took: Mutex<Latency>,
    /// One request at a time is answered slowly.
    slow: tokio::sync::Mutex<()>,
}

impl Sink {
    /// Starts one.
    ///
    /// # Errors
    /// If there is no free port, or no thread can be started.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listener = listener.context("no free loopback port for the receiver")?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Seen::default());
        let (stop, stopped) = oneshot::channel();
        let counter = Arc::clone(&seen);
        let thread = std::thread::Builder::new().name("sink".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(&listener, &counter) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, seen, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it takes deliveries.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Events that came to healthy receivers.
    pub(crate) fn events(&self) -> u64 {
        self.seen.events.load(Ordering::Relaxed)
    }

    /// How long they took, since this was last asked.
    pub(crate) fn take(&self) -> Latency {
        std::mem::take(&mut *self.seen.took.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A receiver that panicked has shown so by what it did not count.
            let _ended = thread.join();
        }
    }
}

async fn accept(listener: &TcpListener, seen: &Arc<Seen>) {
    // An error is of one connection (or of too many): the next may do.
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(seen);
            tokio::spawn(async move {
                // The server closes its connections as it likes.
                let _ended = serve(stream, &seen).await;
            });
        }
    }
}

async fn serve(mut stream: TcpStream, seen: &Seen) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Vec::new();
    loop {
        let head = loop {
            if let Some(head) = Head::parse(&input)? {
                break head;
            }
            read_more(&mut stream, &mut input).await?;
        };
        let end = head.bytes + head.body_bytes;
        while input.len() < end {
            read_more(&mut stream, &mut input).await?;
        }
        if input.starts_with(b"POST /dead") {
            std::future::pending::<()>().await;
        } else if input.starts_with(b"POST /slow") {
            let _turn = seen.slow.lock().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        } else {
            note(seen, &input[head.bytes..end]);
        }
        input.drain(..end);
        stream.write_all(ANSWER).await?;
    }
}

/// Notes every event of a body.
fn note(seen: &Seen, body: &[u8]) {
    let now = now_micros();
    let mut took = seen.took.lock().unwrap_or_else(PoisonError::into_inner);
    let mut rest = body;
    while let Some(at) = rest.windows(SENT.len()).position(|window| window == SENT) {
        rest = &rest[at + SENT.len()..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
        let sent = digits.fold(0u64, |number, digit| number.saturating_mul(10) + u64::from(digit - b'0'));
        took.note(Duration::from_micros(now.saturating_sub(sent)));
        seen.events.fetch_add(1, Ordering::Relaxed);
    }
}
