//! An HTTP receiver on loopback that answers as a test tells it, and remembers what it got.

use actix_web::http::{KeepAlive, StatusCode};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::TcpSocket;

/// How long tests wait for what has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// How often its delivery had come in before.
    pub(crate) repeats: usize,
    /// The status it was answered with.
    pub(crate) answered: u16,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("bodies are text")
    }
}

/// What a receiver answers.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }
}

type Behaviour = Box<dyn FnMut(&Seen) -> Reply + Send>;

struct Inner {
    behaviour: Behaviour,
    seen: Vec<Seen>,
}

/// A running receiver. It ends when dropped.
pub(crate) struct Receiver {
    pub(crate) url: String,
    inner: Arc<(Mutex<Inner>, Condvar)>,
    handle: actix_web::dev::ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    pub(crate) fn start(behaviour: impl FnMut(&Seen) -> Reply + Send + 'static) -> Self {
        let inner = Inner { behaviour: Box::new(behaviour), seen: Vec::new() };
        let inner = Arc::new((Mutex::new(inner), Condvar::new()));
        let shared = Arc::clone(&inner);
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    let shared = Arc::clone(&shared);
                    let answer = move |request: HttpRequest, body: Bytes| {
                        let response = answer(&shared, &request, body);
                        async move { response }
                    };
                    App::new().default_service(web::to(answer))
                });
                // However slow the machine is, the client ends connections, not the receiver.
                let server = server.keep_alive(KeepAlive::Os).client_request_timeout(Duration::ZERO);
                let server = server.workers(1).disable_signals().bind("127.0.0.1:0").expect("a free port");
                let address = server.addrs()[0];
                let server = server.run();
                started.send((address, server.handle())).expect("the test waits");
                server.await.expect("the receiver runs");
            });
        });
        let (address, handle) = start.recv().expect("the receiver starts");
        Self { url: format!("http://{address}/hook"), inner, handle, thread: Some(thread) }
    }

    /// A receiver that takes everything.
    pub(crate) fn taking() -> Self {
        Self::start(|_| Reply::status(200))
    }

    /// Changes what it answers.
    pub(crate) fn behave(&self, behaviour: impl FnMut(&Seen) -> Reply + Send + 'static) {
        self.lock().behaviour = Box::new(behaviour);
    }

    /// Everything that came in so far, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.lock().seen.clone()
    }

    /// Waits until so many requests have come in.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Seen> {
        let deadline = Instant::now() + PATIENCE;
        let mut inner = self.lock();
        while inner.seen.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} of {count} requests came in", inner.seen.len());
            let waited = self.inner.1.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        inner.seen.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // The command is sent by the call; the server's thread sees to the rest.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A port on loopback on which nobody listens, and which nobody else gets while this lives.
pub(crate) struct Nobody {
    pub(crate) url: String,
    _port: TcpSocket,
}

impl Nobody {
    pub(crate) fn start() -> Self {
        let port = TcpSocket::new_v4().expect("a socket");
        port.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let address = port.local_addr().expect("an address");
        Self { url: format!("http://{address}/hook"), _port: port }
    }
}

fn answer(shared: &(Mutex<Inner>, Condvar), request: &HttpRequest, body: Bytes) -> HttpResponse {
    let mut headers = HeaderMap::new();
    for (name, value) in request.headers() {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).expect("a name");
        headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    let mut inner = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
    let mut seen = Seen { headers, body, repeats: 0, answered: 0 };
    seen.repeats = inner.seen.iter().filter(|before| before.id() == seen.id()).count();
    let reply = (inner.behaviour)(&seen);
    seen.answered = reply.status;
    inner.seen.push(seen);
    shared.1.notify_all();
    let mut response = HttpResponse::build(StatusCode::from_u16(reply.status).expect("a status"));
    for (name, value) in reply.headers {
        response.insert_header((name, value));
    }
    response.body(reply.body)
}
