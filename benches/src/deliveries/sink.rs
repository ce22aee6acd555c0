//! Receivers of webhooks that note how long deliveries took: healthy ones, one that takes a request a second, one that never
//! answers; and a black hole, to which no connection can be made.

use crate::deliveries::poster::now_micros;
use crate::load::latency::Latency;
use crate::load::loopback::{Loopback, Taker};
use anyhow::{Context, ensure};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// The member of an event with the time at which it was posted.
const SENT: &[u8] = b"\"sent_micros\":";

/// How long a connection on loopback takes at most; one that takes longer will never be.
const CONNECT_MAX: Duration = Duration::from_millis(500);

/// Connections that fill the queue of a listener whose queue has no room, and more than those.
const FILLING_MAX: usize = 8;

/// A receiver at work on a free loopback port, until dropped. What it does depends on the path: `/slow` answers one request
/// a second, `/mute` never answers, any other answers at once.
#[derive(Debug)]
pub(crate) struct Sink(Loopback<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Events that came to healthy receivers.
    events: AtomicU64,
    /// How long they took from being posted.
    took: Mutex<Latency>,
    /// One request at a time is answered slowly.
    slow: tokio::sync::Mutex<()>,
}

impl Taker for Seen {
    async fn take(&self, head: &[u8], body: &[u8]) {
        if head.starts_with(b"POST /mute") {
            std::future::pending::<()>().await;
        } else if head.starts_with(b"POST /slow") {
            let _turn = self.slow.lock().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        } else {
            note(self, body);
        }
    }
}

impl Sink {
    /// Starts one.
    ///
    /// # Errors
    /// If there is no free port, or no thread can be started.
    pub(crate) fn start() -> anyhow::Result<Self> {
        Loopback::start("sink", Seen::default()).map(Self)
    }

    /// Where it takes deliveries.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.0.address)
    }

    /// Events that came to healthy receivers.
    pub(crate) fn events(&self) -> u64 {
        self.0.taker.events.load(Ordering::Relaxed)
    }

    /// How long they took, since this was last asked.
    pub(crate) fn take(&self) -> Latency {
        std::mem::take(&mut *self.0.taker.took.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An address on loopback that swallows what is sent to it: its queue of connections is full, so that the kernel drops every
/// attempt to connect, as a firewall would.
#[derive(Debug)]
pub(crate) struct BlackHole {
    address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl BlackHole {
    /// Makes one.
    ///
    /// # Errors
    /// If there is no free port, or connections to it can still be made in the end.
    pub(crate) async fn open() -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).context("no free loopback port for the black hole")?;
        let listener = socket.listen(0)?;
        let address = listener.local_addr()?;
        let mut queue = Vec::new();
        while let Ok(connected) = timeout(CONNECT_MAX, TcpStream::connect(address)).await {
            queue.push(connected?);
            ensure!(queue.len() < FILLING_MAX, "this kernel takes connections beyond a listener's queue");
        }
        Ok(Self { address, _listener: listener, _queue: queue })
    }

    /// Where it swallows deliveries.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_connects_to_a_black_hole() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let hole = BlackHole::open().await.expect("opened");
            assert_eq!(hole.url(), format!("http://{}/", hole.address));
            let connected = timeout(Duration::from_millis(100), TcpStream::connect(hole.address)).await;
            assert!(connected.is_err(), "{connected:?}");
        });
    }
}
