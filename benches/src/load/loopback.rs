//! An HTTP server on a free loopback port, on a thread of its own: reads requests, hands them on, answers 200.

use super::http::{Head, read_more};
use anyhow::Context;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// What requests are handed to.
pub(crate) trait Taker: Send + Sync + 'static {
    /// Takes a request, given its head and its body. It is answered when this is over.
    fn take(&self, head: &[u8], body: &[u8]) -> impl Future<Output = ()> + Send;
}

/// A server at work, until dropped.
#[derive(Debug)]
pub(crate) struct Loopback<T> {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What it hands requests to.
    pub(crate) taker: Arc<T>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Taker> Loopback<T> {
    /// Starts one.
    ///
    /// # Errors
    /// If there is no free port, or no thread can be started.
    pub(crate) fn start(name: &str, taker: T) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listener = listener.context("no free loopback port for the receiver")?;
        let address = listener.local_addr()?;
        let taker = Arc::new(taker);
        let (stop, stopped) = oneshot::channel();
        let handed = Arc::clone(&taker);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(&listener, &handed) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, taker, stop: Some(stop), thread: Some(thread) })
    }
}

impl<T> Drop for Loopback<T> {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A receiver that panicked has shown so by what it did not count.
            let _ended = thread.join();
        }
    }
}

async fn accept<T: Taker>(listener: &TcpListener, taker: &Arc<T>) {
    // An error is of one connection (or of too many): the next may do.
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let taker = Arc::clone(taker);
            tokio::spawn(async move {
                // The server closes its connections as it likes.
                let _ended = serve(stream, &*taker).await;
            });
        }
    }
}

async fn serve(mut stream: TcpStream, taker: &impl Taker) -> io::Result<()> {
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
        taker.take(&input[..head.bytes], &input[head.bytes..end]).await;
        input.drain(..end);
        stream.write_all(ANSWER).await?;
    }
}
