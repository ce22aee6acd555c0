//! The load's own receiver of webhooks: reads a request, answers 200, counts. On a thread of its own.

use super::http::{Head, read_more};
use anyhow::Context;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// A receiver at work on a free loopback port, until dropped.
#[derive(Debug)]
pub(crate) struct Receiver {
    address: SocketAddr,
    received: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts one.
    ///
    /// # Errors
    /// If there is no free port, or no thread can be started.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listener = listener.context("no free loopback port for the receiver")?;
        let address = listener.local_addr()?;
        let received = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = oneshot::channel();
        let counter = Arc::clone(&received);
        let thread = std::thread::Builder::new().name("receiver".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(&listener, &counter) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, received, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it takes deliveries.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    /// How many requests it has answered.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A receiver that panicked has shown so by what it did not count.
            let _ended = thread.join();
        }
    }
}

async fn accept(listener: &TcpListener, received: &Arc<AtomicU64>) {
    // An error is of one connection (or of too many): the next may do.
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let received = Arc::clone(received);
            tokio::spawn(async move {
                // The server closes its connections as it likes.
                let _ended = serve(stream, &received).await;
            });
        }
    }
}

async fn serve(mut stream: TcpStream, received: &AtomicU64) -> io::Result<()> {
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
        input.drain(..end);
        received.fetch_add(1, Ordering::Relaxed);
        stream.write_all(ANSWER).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::http::{Connection, request_head, write_request};

    #[test]
    fn every_request_is_answered_and_counted() {
        let receiver = Receiver::start().expect("started");
        let address = receiver.address;
        assert_eq!(receiver.url(), format!("http://{address}/events"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            for body in [&b""[..], b"{}", &[b'x'; 100_000]] {
                let mut connection = Connection::new(address);
                let head = request_head("POST", "/events", address, &[]);
                let mut request = Vec::new();
                write_request(&mut request, &head, body);
                for _ in 0..3 {
                    let answer = connection.exchange(&request).await.expect("answered");
                    assert_eq!((answer.status, answer.body), (200, &b""[..]));
                }
            }
        });
        assert_eq!(receiver.received(), 9);
    }
}
