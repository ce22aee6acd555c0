//! A receiver on loopback that misbehaves on command: it speaks to the socket itself, so it can break off anywhere.
//!
//! There is one request a connection, and whatever becomes of it ends the connection: so the client never sends a request
//! anew by itself, and what comes twice was tried twice.

use crate::receiver::PATIENCE;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// What its answers say, those that never end again and again.
pub(crate) const WORDS: &str = "no, thank you; ";

/// What an encrypted connection begins with.
const TLS_HANDSHAKE: u8 = 0x16;

/// What becomes of a request.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// It is answered: with this status, these further headers (an end of line behind each) and this body.
    Answers(u16, &'static str, &'static str),
    /// These bytes come, and then the end of the connection.
    Ends(&'static str),
    /// These bytes come, and then nothing, until the client gives up.
    Stalls(&'static str),
    /// An answer with this status comes whose body goes on until the client hangs up.
    Endless(u16),
    /// The connection is reset.
    Resets,
}

impl Manner {
    /// It is taken.
    pub(crate) const TAKES: Self = Self::Answers(200, "", "");

    /// Whether the client has to give up.
    pub(crate) const fn takes_long(&self) -> bool {
        matches!(self, Self::Stalls(_))
    }
}

/// A request as it came in; of one that wanted to be encrypted, that it did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) encrypted: bool,
    /// The id of the delivery, or of the batch.
    pub(crate) id: String,
    /// When it was sent, in seconds, by the sender's clock.
    pub(crate) seconds: i64,
    pub(crate) body: String,
    /// How often a request of that id had come in before.
    pub(crate) repeats: usize,
}

type Behaviour = Box<dyn FnMut(&Asked) -> Manner + Send>;

struct Shared {
    behaviour: Mutex<Behaviour>,
    seen: Mutex<Vec<Asked>>,
    /// Bytes of bodies that never end which the client's side took, and how many of them it hung up on.
    endless_bytes: AtomicU64,
    hung_up: AtomicU64,
    ends: AtomicBool,
}

/// A running receiver. It ends when dropped.
pub(crate) struct Rude {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Rude {
    pub(crate) fn start(behaviour: impl FnMut(&Asked) -> Manner + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(Box::new(behaviour)),
            seen: Mutex::default(),
            endless_bytes: AtomicU64::new(0),
            hung_up: AtomicU64::new(0),
            ends: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || run(&listener, &of_thread));
        Self { address, shared, thread: Some(thread) }
    }

    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}/hook", self.address)
    }

    /// Everything that came in so far, in order.
    pub(crate) fn seen(&self) -> Vec<Asked> {
        lock(&self.shared.seen).clone()
    }

    /// How many bodies that never end the client hung up on, and how many bytes of such it had let come until then.
    pub(crate) fn hung_up(&self) -> (u64, u64) {
        let bodies = self.shared.hung_up.load(Ordering::SeqCst);
        (bodies, self.shared.endless_bytes.load(Ordering::SeqCst))
    }
}

impl Drop for Rude {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        // Wakes the thread, which waits for a connection.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.ends.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        // How a connection ends is what the tests are about; it is told by what the engine makes of it.
        std::thread::spawn(move || drop(serve(stream, &shared)));
    }
}

/// Reads a request and does with it as the test says.
fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut first = [0];
    if stream.peek(&mut first)? == 0 {
        return Ok(());
    }
    if first == [TLS_HANDSHAKE] {
        return refuse_encryption(stream, shared);
    }
    let mut asked = read(&mut stream)?;
    let manner = {
        // Seen before it is answered: whoever has the answer finds it.
        let mut seen = lock(&shared.seen);
        asked.repeats = seen.iter().filter(|before| !before.encrypted && before.id == asked.id).count();
        let mut behaviour = lock(&shared.behaviour);
        let manner = (*behaviour)(&asked);
        seen.push(asked);
        manner
    };
    if !matches!(manner, Manner::Resets) {
        stream.read_exact(&mut [0])?;
    }
    match manner {
        Manner::Answers(status, headers, body) => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}");
            stream.write_all(format!("{head}\r\n{headers}\r\n{body}").as_bytes())?;
            finish(stream)
        }
        Manner::Ends(text) => {
            stream.write_all(text.as_bytes())?;
            finish(stream)
        }
        Manner::Stalls(text) => {
            stream.write_all(text.as_bytes())?;
            until_closed(stream)
        }
        Manner::Endless(status) => {
            write!(stream, "HTTP/1.1 {status} X\r\nconnection: close\r\n\r\n")?;
            let piece = WORDS.repeat(1_000);
            while stream.write_all(piece.as_bytes()).is_ok() {
                shared.endless_bytes.fetch_add(piece.len() as u64, Ordering::SeqCst);
            }
            shared.hung_up.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
        // A byte of the request is unread: that makes a reset of the end.
        Manner::Resets => Ok(()),
    }
}

/// Reads a request but for the last byte of its body, which has come and stays unread.
fn read(stream: &mut TcpStream) -> io::Result<Asked> {
    // A byte at a time: what is behind the head belongs to the body.
    let (mut head, mut byte): (Vec<u8>, [u8; 1]) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).map_err(io::Error::other)?;
    let header = |wanted: &str| {
        let mut headers = head.lines().filter_map(|line| line.split_once(':'));
        let found = headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map_or("", |(_, value)| value.trim())
    };
    let length: usize = header("content-length").parse().map_err(io::Error::other)?;
    let mut body = vec![0; length];
    let last = length.checked_sub(1).ok_or_else(|| io::Error::other("these requests have bodies"))?;
    stream.read_exact(&mut body[..last])?;
    if stream.peek(&mut body[last..])? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Asked {
        encrypted: false,
        id: header("webhook-id").to_owned(),
        seconds: header("webhook-timestamp").parse().unwrap_or_default(),
        body: String::from_utf8(body).map_err(io::Error::other)?,
        repeats: 0,
    })
}

/// Tells a client that wants to be encrypted that it can't be, in plain text.
fn refuse_encryption(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    stream.read_exact(&mut hello)?;
    lock(&shared.seen).push(Asked { encrypted: true, ..Asked::default() });
    stream.write_all(b"HTTP/1.1 400 X\r\ncontent-length: 0\r\n\r\n")?;
    finish(stream)
}

/// Ends the connection in good order: the client sees everything before the end.
fn finish(stream: TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    until_closed(stream)
}

/// Waits until the client ends the connection.
fn until_closed(mut stream: TcpStream) -> io::Result<()> {
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
