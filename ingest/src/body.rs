//! A request's body, read within its limits and decoded.

use crate::error::IngestError;
use crate::limits::{IngestLimits, Reservation};
use actix_web::http::header::HeaderValue;
use actix_web::web;
use bytes::{Bytes, BytesMut};
use flate2::bufread::MultiGzDecoder;
use futures_util::StreamExt;
use std::io::Read;

/// From how many bytes on a body is worked on by a blocking thread, so that it does not hold up the requests of
/// others.
pub(crate) const BLOCKING_FROM_BYTES: usize = 128 << 10;

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As it is.
    Plain,
    /// gzip, one or more members.
    Gzip,
}

impl Coding {
    /// Reads a `Content-Encoding` header.
    ///
    /// # Errors
    /// If it names another coding than gzip.
    pub(crate) fn parse(header: Option<&HeaderValue>) -> Result<Self, IngestError> {
        let Some(header) = header else { return Ok(Self::Plain) };
        let name = header.to_str().map_err(|_| IngestError::UnsupportedEncoding)?.trim();
        if name.is_empty() || name.eq_ignore_ascii_case("identity") {
            Ok(Self::Plain)
        } else if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            Ok(Self::Gzip)
        } else {
            Err(IngestError::UnsupportedEncoding)
        }
    }
}

/// Reads the body as it was sent. `announced` is the length that the client gave, if it did: too large a
/// body is refused before its first byte.
///
/// # Errors
/// If the body is too large, too slow or broken, or there is no room for it now.
pub(crate) async fn read(
    payload: &mut web::Payload,
    announced: Option<u64>,
    limits: &IngestLimits,
    reservation: &mut Reservation,
) -> Result<Bytes, IngestError> {
    let limit = limits.wire_bytes_max;
    if announced.is_some_and(|bytes| bytes > limit as u64) {
        return Err(IngestError::BodyTooLarge { limit });
    }
    let whole = read_chunks(payload, limit, reservation);
    match tokio::time::timeout(limits.body_read_timeout, whole).await {
        Ok(body) => body,
        Err(_) => Err(IngestError::BodyTimeout { seconds: limits.body_read_timeout.as_secs() }),
    }
}

async fn read_chunks(
    payload: &mut web::Payload,
    limit: usize,
    reservation: &mut Reservation,
) -> Result<Bytes, IngestError> {
    // Most bodies come in one piece, which is taken as it is.
    let mut first = Bytes::new();
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| IngestError::BodyBroken)?;
        let read = first.len() + body.len();
        if read + chunk.len() > limit {
            return Err(IngestError::BodyTooLarge { limit });
        }
        reservation.grow(chunk.len())?;
        if read == 0 {
            first = chunk;
        } else {
            if body.is_empty() {
                body.extend_from_slice(&std::mem::take(&mut first));
            }
            body.extend_from_slice(&chunk);
        }
    }
    Ok(if body.is_empty() { first } else { body.freeze() })
}

/// Inflates a gzip body, checking size and ratio on the way.
///
/// # Errors
/// If it is no gzip, or becomes too large.
pub(crate) fn gunzip(
    wire: &[u8],
    limits: &IngestLimits,
    reservation: &mut Reservation,
) -> Result<Vec<u8>, IngestError> {
    let ratio_bytes = wire.len().saturating_mul(limits.inflate_ratio_max).max(limits.ratio_free_bytes);
    let mut decoder = MultiGzDecoder::new(wire);
    let mut decoded = Vec::with_capacity(wire.len().saturating_mul(6).min(limits.decoded_bytes_max));
    let mut chunk = [0u8; 16 << 10];
    loop {
        let read = decoder.read(&mut chunk).map_err(|_| IngestError::NotGzip)?;
        if read == 0 {
            return Ok(decoded);
        }
        if decoded.len() + read > limits.decoded_bytes_max {
            return Err(IngestError::DecodedTooLarge { limit: limits.decoded_bytes_max });
        }
        if decoded.len() + read > ratio_bytes {
            return Err(IngestError::RatioTooHigh { ratio: limits.inflate_ratio_max });
        }
        reservation.grow(read)?;
        decoded.extend_from_slice(&chunk[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::BodyBudget;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    }

    #[test]
    fn codings() {
        let cases = [
            (None, Some(Coding::Plain)),
            (Some(""), Some(Coding::Plain)),
            (Some("identity"), Some(Coding::Plain)),
            (Some("GZip"), Some(Coding::Gzip)),
            (Some("x-gzip"), Some(Coding::Gzip)),
            (Some("br"), None),
            (Some("gzip, gzip"), None),
        ];
        for (header, want) in cases {
            let value = header.map(|text| HeaderValue::from_str(text).expect("a header value"));
            assert_eq!(Coding::parse(value.as_ref()).ok(), want, "{header:?}");
        }
    }

    #[test]
    fn bombs_are_stopped_on_the_way() {
        let limits = IngestLimits::default();
        let budget = BodyBudget::new(64 << 20);
        let spaces = |count| gzip(&vec![b' '; count]);
        let noise: Vec<u8> =
            (0..9u32 << 18).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let mut two = gzip(b"{}");
        two.extend(gzip(b" "));
        let cases = [
            ("small", gzip(b"{}"), Ok(2)),
            ("two members", two, Ok(3)),
            ("ratio is free up to 1 MB", spaces(1 << 20), Ok(1 << 20)),
            ("ratio beyond", spaces((1 << 20) + 1), Err("RatioTooHigh")),
            ("a bomb", spaces(4 << 20), Err("RatioTooHigh")),
            ("a large one", spaces(128 << 20), Err("DecodedTooLarge")),
            ("too large at a low ratio", gzip(&noise), Err("DecodedTooLarge")),
            ("cut off", gzip(b"{\"a\":1}")[..12].to_vec(), Err("NotGzip")),
            ("no gzip", b"{}".to_vec(), Err("NotGzip")),
            ("empty", Vec::new(), Err("NotGzip")),
        ];
        for (name, wire, want) in cases {
            let got = gunzip(&wire, &limits, &mut budget.reserve()).map(|decoded| decoded.len());
            match (got, want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{name}"),
                (got, want) => {
                    let got = format!("{got:?}");
                    assert!(want.is_err_and(|want| got.contains(want)), "{name}: {got}");
                }
            }
        }
        let tight = BodyBudget::new(1000);
        let got = gunzip(&spaces(2000), &limits, &mut tight.reserve());
        assert!(matches!(got, Err(IngestError::InFlightFull)));
    }
}
