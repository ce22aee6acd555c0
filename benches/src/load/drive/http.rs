//! A connection to the tracking API.

use super::{Load, PAUSE, pace};
use crate::events::{Event, Events, Kind};
use crate::load::http::{Connection, request_head, write_request};
use crate::load::tally::{Sent, Tally};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::time::Instant;
use tributary_model::clock::{Clock, SystemClock};

/// One connection with its events.
pub(super) struct Worker {
    connection: Connection,
    events: Events,
    composer: Composer,
    tally: Tally,
}

impl Worker {
    pub(super) fn new(load: &Load, worker: u16) -> Self {
        Self {
            connection: Connection::new(load.target.http),
            events: load.events(worker),
            composer: Composer::new(load),
            tally: Tally::default(),
        }
    }

    /// Sends until it is over.
    pub(super) async fn run(mut self, load: &Load) -> Tally {
        while let Some(due) = load.pace.take() {
            let batch = load.args.batch;
            let chosen: Vec<Event> = (0..batch).map(|_| self.events.choose()).collect();
            let bytes = self.composer.compose(&self.events, &chosen);
            pace::wait_until(due).await;
            let at = Instant::now();
            let due = if load.pace.is_flat_out() { at } else { due };
            let status = self.connection.exchange(self.composer.request()).await.map(|answer| answer.status);
            let sent = Sent { due, at, answered: Instant::now(), events: u64::from(batch), bytes };
            match status {
                Ok(200) => {
                    self.tally.answer("200", 1);
                    self.tally.accepted(&load.window, &sent);
                }
                Ok(other) => {
                    self.tally.answer(&other.to_string(), 1);
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    self.tally.answer(&error.to_string(), 1);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        self.tally
    }
}

/// Puts requests together in buffers that are used again.
pub(crate) struct Composer {
    heads: [Vec<u8>; 3],
    batch_head: Vec<u8>,
    gzip: bool,
    body: Vec<u8>,
    request: Vec<u8>,
}

impl Composer {
    fn new(load: &Load) -> Self {
        Self::of(load.target.http, &load.target.write_key, load.args.gzip)
    }

    /// For this address, under this write key.
    pub(crate) fn of(address: std::net::SocketAddr, write_key: &str, gzip: bool) -> Self {
        let basic = format!("Basic {}", STANDARD.encode(format!("{write_key}:")));
        let mut headers = vec![("authorization", basic.as_str()), ("content-type", "application/json")];
        if gzip {
            headers.push(("content-encoding", "gzip"));
        }
        let head = |path: &str| request_head("POST", path, address, &headers);
        Self {
            heads: [Kind::Identify, Kind::Track, Kind::Page]
                .map(|kind| head(&format!("/v1/{}", kind.name()))),
            batch_head: head("/v1/batch"),
            gzip,
            body: Vec::new(),
            request: Vec::new(),
        }
    }

    /// Puts a request together for events that happen now: one alone goes to the path of its call. The bytes of the
    /// events.
    pub(crate) fn compose(&mut self, events: &Events, chosen: &[Event]) -> u64 {
        let time = SystemClock.now().floor_to_millis().to_string();
        self.body.clear();
        let (bytes, head) = match chosen {
            [event] => {
                events.write(event, &time, &mut self.body);
                let bytes = self.body.len();
                // The object is open again for one more member.
                self.body.truncate(bytes - 1);
                let head = match events.kind(event) {
                    Kind::Identify => &self.heads[0],
                    Kind::Track => &self.heads[1],
                    Kind::Page => &self.heads[2],
                };
                (bytes, head)
            }
            many => {
                self.body.extend_from_slice(b"{\"batch\":[");
                let mut bytes = 0;
                for (place, event) in many.iter().enumerate() {
                    if place > 0 {
                        self.body.push(b',');
                    }
                    let before = self.body.len();
                    events.write(event, &time, &mut self.body);
                    bytes += self.body.len() - before;
                }
                self.body.push(b']');
                (bytes, &self.batch_head)
            }
        };
        self.body.extend_from_slice(b",\"sentAt\":\"");
        self.body.extend_from_slice(time.as_bytes());
        self.body.extend_from_slice(b"\"}");
        if self.gzip {
            let mut encoder = GzEncoder::new(Vec::with_capacity(self.body.len() / 4), Compression::fast());
            encoder.write_all(&self.body).expect("a vector takes everything");
            self.body = encoder.finish().expect("a vector takes everything");
        }
        write_request(&mut self.request, head, &self.body);
        bytes as u64
    }

    /// The request that was put together last.
    pub(crate) fn request(&self) -> &[u8] {
        &self.request
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::http::Head;
    use crate::population::Population;
    use serde_json::Value;
    use std::io::Read as _;

    fn composed(count: usize, gzip: bool) -> (String, Value, u64) {
        let mut events = Events::new(Population::new(1, 100), 1, 9, 0);
        let chosen: Vec<Event> = (0..count).map(|_| events.identify(7)).collect();
        let address = "127.0.0.1:80".parse().expect("an address");
        let mut composer = Composer::of(address, "key", gzip);
        let bytes = composer.compose(&events, &chosen);
        let request = composer.request();
        let head = Head::parse(request).expect("sound").expect("whole");
        let (text, body) = request.split_at(head.bytes);
        assert_eq!(body.len(), head.body_bytes);
        let mut plain = Vec::new();
        if gzip {
            flate2::read::GzDecoder::new(body).read_to_end(&mut plain).expect("gzip");
        } else {
            plain.extend_from_slice(body);
        }
        let value = serde_json::from_slice(&plain).expect("JSON");
        (String::from_utf8(text.to_vec()).expect("text"), value, bytes)
    }

    #[test]
    fn one_event_goes_to_the_path_of_its_call() {
        let (head, event, bytes) = composed(1, false);
        assert!(head.starts_with("POST /v1/identify HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("authorization: Basic a2V5Og==\r\n"), "{head}");
        assert_eq!(event["type"], "identify");
        assert_eq!(event["sentAt"], event["timestamp"]);
        assert!((800..1_200).contains(&bytes), "{bytes}");
    }

    #[test]
    fn many_go_as_a_batch_compressed_or_not() {
        for gzip in [false, true] {
            let (head, batch, bytes) = composed(20, gzip);
            assert!(head.starts_with("POST /v1/batch HTTP/1.1\r\n"), "{head}");
            assert_eq!(head.contains("content-encoding: gzip\r\n"), gzip, "{head}");
            assert_eq!(batch["batch"].as_array().map(Vec::len), Some(20));
            assert!(batch["sentAt"].is_string());
            assert!((16_000..24_000).contains(&bytes), "{bytes}");
        }
    }
}
