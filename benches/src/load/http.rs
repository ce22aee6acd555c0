//! HTTP/1.1 as far as a load generator needs it: one request after the other over a kept connection, and bodies of
//! a known length. It is written by hand because a general client costs as much CPU as the answer it waits for.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer that takes longer does not come.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// The largest head that is read.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How much room a read gets.
const READ_BYTES: usize = 16 << 10;

/// A connection to a server, made when it is needed and again after it broke.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    input: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Connection {
    /// Not connected yet.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, input: Vec::with_capacity(READ_BYTES) }
    }

    /// Sends a whole request and reads its answer.
    ///
    /// # Errors
    /// If the connection can't be made or breaks, no answer comes in time, or it is no HTTP. The next exchange
    /// makes a new connection.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        let (status, body) = self.answered(request).await?;
        Ok(Answer { status, body: &self.input[body] })
    }

    /// The same for a request that may be sent twice: a server closes connections that are idle for a while.
    ///
    /// # Errors
    /// As [`Self::exchange`].
    pub(crate) async fn exchange_again(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        let kept = self.stream.is_some();
        let mut answered = self.answered(request).await;
        if kept && answered.is_err() {
            answered = self.answered(request).await;
        }
        let (status, body) = answered?;
        Ok(Answer { status, body: &self.input[body] })
    }

    async fn answered(&mut self, request: &[u8]) -> io::Result<(u16, Range<usize>)> {
        let answered = tokio::time::timeout(ANSWER_WITHIN, self.round_trip(request)).await;
        let answered = answered.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)));
        if !answered.as_ref().is_ok_and(|(_, _, kept)| *kept) {
            self.stream = None;
        }
        answered.map(|(status, body, _)| (status, body))
    }

    /// Status, where the body is in `input`, and whether the connection is kept.
    async fn round_trip(&mut self, request: &[u8]) -> io::Result<(u16, Range<usize>, bool)> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        let stream = self.stream.as_mut().expect("connected above");
        stream.write_all(request).await?;
        self.input.clear();
        let head = loop {
            if let Some(head) = Head::parse(&self.input)? {
                break head;
            }
            read_more(stream, &mut self.input).await?;
        };
        let end = head.bytes + head.body_bytes;
        while self.input.len() < end {
            read_more(stream, &mut self.input).await?;
        }
        let status = head.status(&self.input)?;
        Ok((status, head.bytes..end, head.keeps))
    }
}

/// Reads what there is.
///
/// # Errors
/// If the connection has ended.
pub(crate) async fn read_more(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<()> {
    input.reserve(READ_BYTES);
    match stream.read_buf(input).await? {
        0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        _ => Ok(()),
    }
}

/// The head of a request or of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its bytes, the empty line included.
    pub(crate) bytes: usize,
    /// The bytes of the body behind it.
    pub(crate) body_bytes: usize,
    /// Whether the connection is kept after it.
    pub(crate) keeps: bool,
}

impl Head {
    /// Reads a head; `None` if it is not complete yet.
    ///
    /// # Errors
    /// If it is no head, or the length of its body is not told.
    pub(crate) fn parse(input: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
            return if input.len() > HEAD_BYTES_MAX {
                Err(invalid("a head without an end"))
            } else {
                Ok(None)
            };
        };
        let text = std::str::from_utf8(&input[..end]).map_err(|_| invalid("a head that is no text"))?;
        let mut head = Self { bytes: end + 4, body_bytes: 0, keeps: true };
        for line in text.split("\r\n").skip(1) {
            let Some((name, value)) = line.split_once(':') else { continue };
            if name.eq_ignore_ascii_case("content-length") {
                let length = value.trim().parse();
                head.body_bytes = length.map_err(|_| invalid("a content-length that is no number"))?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                return Err(invalid("a body without a length"));
            } else if name.eq_ignore_ascii_case("connection") {
                head.keeps = !value.trim().eq_ignore_ascii_case("close");
            }
        }
        Ok(Some(head))
    }

    /// The status of an answer with this head.
    fn status(&self, input: &[u8]) -> io::Result<u16> {
        let digits = input.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
        let status = digits.filter(|_| input.starts_with(b"HTTP/1.")).and_then(|digits| digits.parse().ok());
        status.ok_or_else(|| invalid("an answer that is no HTTP/1.1"))
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The head of a request up to its length: the same for all requests of a kind.
pub(crate) fn request_head(
    method: &str,
    path: &str,
    address: SocketAddr,
    headers: &[(&str, &str)],
) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.into_bytes()
}

/// Puts a request together.
pub(crate) fn write_request(out: &mut Vec<u8>, head: &[u8], body: &[u8]) {
    out.clear();
    out.extend_from_slice(head);
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(body.len().to_string().as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_once_they_are_whole() {
        let cases = [
            ("nothing", "", None),
            ("begun", "HTTP/1.1 200 OK\r\ncontent-le", None),
            ("no body", "HTTP/1.1 204 No Content\r\n\r\n", Some((27, 0, true))),
            ("a body", "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{", Some((39, 16, true))),
            ("the last", "POST / HTTP/1.1\r\nconnection: Close\r\n\r\n", Some((38, 0, false))),
        ];
        for (name, text, want) in cases {
            let head = Head::parse(text.as_bytes()).expect("sound");
            assert_eq!(head.map(|head| (head.bytes, head.body_bytes, head.keeps)), want, "{name}");
        }
        for text in ["A\r\ntransfer-encoding: chunked\r\n\r\n", "A\r\ncontent-length: x\r\n\r\n"] {
            assert!(Head::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_status_is_that_of_an_answer() {
        let cases = [("HTTP/1.1 503 Later\r\n\r\n", Some(503)), ("SSH-2.0 200\r\n\r\n", None)];
        for (text, want) in cases {
            let head = Head::parse(text.as_bytes()).expect("sound").expect("whole");
            assert_eq!(head.status(text.as_bytes()).ok(), want, "{text}");
        }
    }

    #[test]
    fn a_request_tells_its_length() {
        let address = "127.0.0.1:80".parse().expect("an address");
        let head = request_head("POST", "/v1/track", address, &[("authorization", "Basic eDo=")]);
        let mut request = b"of before".to_vec();
        write_request(&mut request, &head, b"{}");
        let want = "POST /v1/track HTTP/1.1\r\nhost: 127.0.0.1:80\r\nauthorization: Basic eDo=\r\n\
                    content-length: 2\r\n\r\n{}";
        assert_eq!(String::from_utf8(request).expect("text"), want);
    }
}
