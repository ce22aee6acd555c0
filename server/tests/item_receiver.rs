//! A webhook's receiver on loopback that is sent several events a request. It keeps every one in the order in which they came,
//! with the life of the server that sent it, and answers each request after a little while that follows from a seed.

use crate::harness::PATIENCE;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::watch;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// An event as it came.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// Which of the server's lives sent it, from 0.
    pub(crate) life: u32,
    /// The id of the delivery.
    pub(crate) delivery: String,
    pub(crate) message_id: String,
    pub(crate) user: String,
}

/// See the module. It ends when dropped.
pub(crate) struct ItemReceiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    kept: Mutex<Kept>,
    /// How many different deliveries there were.
    count: watch::Sender<usize>,
    /// The newest life of which a request came.
    heard: watch::Sender<Option<u32>>,
    /// Connections that have not been closed.
    open: watch::Sender<usize>,
    life: AtomicU32,
    random: Mutex<ChaCha8Rng>,
    /// How long an answer takes, in microseconds.
    pause: RangeInclusive<u64>,
    /// While it is set, nothing is answered.
    held: (Mutex<bool>, Condvar),
    ends: AtomicBool,
}

#[derive(Default)]
struct Kept {
    items: Vec<Item>,
    deliveries: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Batch {
    deliveries: Vec<Delivery>,
}

#[derive(Deserialize)]
struct Delivery {
    id: String,
    event: Event,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    message_id: String,
    user_id: String,
}

impl ItemReceiver {
    /// One that answers after so many microseconds.
    pub(crate) fn start(seed: u64, pause: RangeInclusive<u64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            kept: Mutex::default(),
            count: watch::Sender::new(0),
            heard: watch::Sender::new(None),
            open: watch::Sender::new(0),
            life: AtomicU32::new(0),
            random: Mutex::new(ChaCha8Rng::seed_from_u64(seed)),
            pause,
            held: (Mutex::new(false), Condvar::new()),
            ends: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || run(&listener, &of_thread));
        Self { address, shared, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/in", self.address)
    }

    /// How many different deliveries there were, as a value that can be awaited.
    pub(crate) fn count(&self) -> watch::Receiver<usize> {
        self.shared.count.subscribe()
    }

    /// How many different deliveries there were.
    pub(crate) fn seen(&self) -> usize {
        *self.shared.count.borrow()
    }

    /// Everything that came so far, in order.
    pub(crate) fn items(&self) -> Vec<Item> {
        lock(&self.shared.kept).items.clone()
    }

    /// Waits until there were so many different deliveries, for as long as there are more of them.
    pub(crate) async fn until(&self, wanted: usize) {
        let mut count = self.count();
        loop {
            let now = *count.borrow_and_update();
            if now >= wanted {
                return;
            }
            let more = tokio::time::timeout(PATIENCE, count.changed()).await;
            assert!(more.is_ok(), "{now} of {wanted} deliveries came, and no further within {PATIENCE:?}");
        }
    }

    /// Waits until a request of this life came.
    pub(crate) async fn hears_of(&self, life: u32) {
        let mut heard = self.shared.heard.subscribe();
        let came = tokio::time::timeout(PATIENCE, heard.wait_for(|heard| *heard >= Some(life))).await;
        assert!(came.is_ok(), "life {life} sent nothing within {PATIENCE:?}");
    }

    /// Answers nothing from now on.
    pub(crate) fn hold(&self) {
        *lock(&self.shared.held.0) = true;
    }

    /// Answers what it held, and whatever comes.
    pub(crate) fn release(&self) {
        *lock(&self.shared.held.0) = false;
        self.shared.held.1.notify_all();
    }

    /// The server is gone: waits until everything that it had sent is kept. What comes from then on is of the next life. Tells
    /// how many different deliveries there were by then.
    pub(crate) async fn next_life(&self) -> usize {
        let address = self.address;
        // Connections are taken up in the order in which they were made: once this one is, those of the server were.
        let last = tokio::task::spawn_blocking(move || {
            let mut last = TcpStream::connect(address)?;
            last.set_read_timeout(Some(PATIENCE))?;
            last.shutdown(Shutdown::Write)?;
            last.read(&mut [0])
        });
        assert_eq!(last.await.expect("it does not panic").expect("it is taken up"), 0);
        let mut open = self.shared.open.subscribe();
        let closed = tokio::time::timeout(PATIENCE, open.wait_for(|open| *open == 0)).await;
        assert!(closed.is_ok(), "connections of a server that is gone end");
        drop(closed);
        self.shared.life.fetch_add(1, Ordering::SeqCst);
        self.seen()
    }
}

impl Drop for ItemReceiver {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        self.release();
        // Wakes the thread, which waits for a connection.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A connection that is open for as long as this is there.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

fn run(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.ends.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let life = shared.life.load(Ordering::SeqCst);
        shared.open.send_modify(|open| *open += 1);
        let open = Open(Arc::clone(shared));
        thread::spawn(move || {
            // Where a server is killed, requests break off.
            let _ = serve(stream, life, &open.0);
        });
    }
}

/// Takes one request after the other, to the end of the connection.
fn serve(stream: TcpStream, life: u32, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(length) = head(&mut reader)? {
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        shared.keep(life, serde_json::from_slice(&body).expect("requests are batches"));
        shared.pause();
        reader.get_mut().write_all(ANSWER)?;
    }
    Ok(())
}

/// Reads the head of a request: the length of its body; `None` at the end of the connection.
fn head(reader: &mut BufReader<TcpStream>) -> io::Result<Option<usize>> {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            Some(_) => {}
            None if line.trim_end().is_empty() => return Ok(Some(length)),
            // The first line.
            None => {}
        }
    }
}

impl Shared {
    fn keep(&self, life: u32, batch: Batch) {
        let mut kept = lock(&self.kept);
        for Delivery { id, event } in batch.deliveries {
            kept.deliveries.insert(id.clone());
            let Event { message_id, user_id: user } = event;
            kept.items.push(Item { life, delivery: id, message_id, user });
        }
        self.count.send_replace(kept.deliveries.len());
        self.heard.send_replace(Some(life));
    }

    /// Takes its time.
    fn pause(&self) {
        let micros = lock(&self.random).random_range(self.pause.clone());
        let until = Instant::now() + Duration::from_micros(micros);
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            thread::park_timeout(left);
        }
        let held = lock(&self.held.0);
        drop(self.held.1.wait_while(held, |held| *held));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
