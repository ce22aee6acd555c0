//! A receiver for tests: on loopback, one request a connection, answered as the test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a connection may say nothing: a test that would wait for longer fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// What an encrypted connection begins with.
const TLS_HANDSHAKE: u8 = 0x16;

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Seen {
    /// The value of a header, its name in lower case; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// What a receiver does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// It says this, headers and all.
    Raw(String),
    /// It says nothing, for as long as the receiver runs.
    Silence,
    /// It ends the connection.
    HangUp,
}

impl Answer {
    /// A status and nothing else.
    pub(crate) fn status(status: u16) -> Self {
        Self::full(status, "", "")
    }

    /// A status, more headers with an end of line behind each, and a body.
    pub(crate) fn full(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::Raw(format!(
            "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        ))
    }

    /// A status and a JSON body.
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::full(status, "content-type: application/json\r\n", &body.to_string())
    }
}

/// A running receiver. It ends when dropped.
pub(crate) struct Receiver {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    pub(crate) fn start(answer: impl FnMut(&Seen) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let ends = Arc::new(AtomicBool::new(false));
        let (shared, over) = (Arc::clone(&seen), Arc::clone(&ends));
        let thread = std::thread::spawn(move || run(&listener, &shared, &over, answer));
        Self { address, seen, ends, thread: Some(thread) }
    }

    /// Host and port.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Everything that came in so far, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // Wakes the thread, which waits for a connection.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(
    listener: &TcpListener,
    seen: &Mutex<Vec<Seen>>,
    ends: &AtomicBool,
    mut answer: impl FnMut(&Seen) -> Answer,
) {
    let mut held = Vec::new();
    for stream in listener.incoming() {
        if ends.load(Ordering::SeqCst) {
            return;
        }
        let Ok(mut stream) = stream else { continue };
        stream.set_read_timeout(Some(PATIENCE)).expect("the span is not zero");
        let Some(request) = read(&mut stream) else { continue };
        // Seen before it is answered: whoever has the answer finds it.
        lock(seen).push(request.clone());
        match answer(&request) {
            Answer::Raw(text) => {
                let _ = stream.write_all(text.as_bytes());
            }
            Answer::Silence => held.push(stream),
            Answer::HangUp => {}
        }
    }
}

/// Reads a request; what wants to be encrypted is told that it can't be.
fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut first = [0];
    if stream.peek(&mut first).ok()? == 1 && first == [TLS_HANDSHAKE] {
        let _ = stream.read(&mut [0; 16 << 10]);
        let _ = stream.write_all(b"HTTP/1.1 400 no TLS here\r\n\r\n");
        return None;
    }
    let mut reader = BufReader::new(stream);
    let mut line = || -> Option<String> {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned()).filter(|line| !line.is_empty())
    };
    let start = line()?;
    let mut words = start.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    while let Some(header) = line() {
        let (name, value) = header.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(Some(0), |(_, value)| value.parse().ok())?];
    reader.read_exact(&mut body).ok()?;
    Some(Seen { method, target, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

fn lock(seen: &Mutex<Vec<Seen>>) -> MutexGuard<'_, Vec<Seen>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
