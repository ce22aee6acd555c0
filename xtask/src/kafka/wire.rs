//! Asks a broker whom it knows: the least of Kafka's protocol that tells a broker that works from an open port.
//!
//! A metadata answer lists the brokers that the controllers count as alive, so one answer shows that this broker
//! takes requests, that the controllers have a leader, and who has joined.

use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const METADATA: i16 = 3;
/// The last version before tagged fields, which every Kafka from 1.0 up to now answers.
const METADATA_VERSION: i16 = 4;
const CORRELATION: i32 = 0x7472_6962;
const CLIENT: &str = "tributary-xtask";
/// No answer of a cluster for tests is longer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The ids of the brokers that this one knows to be alive.
pub(super) fn known_brokers(address: SocketAddr, patience: Duration) -> Result<Vec<i32>> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(&request())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).context("the answer has a length")?;
    ensure!(length <= ANSWER_BYTES_MAX, "an answer of {length} bytes");
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    parse_brokers(&answer)
}

/// A request for metadata of no topic.
fn request() -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(METADATA.to_be_bytes());
    body.extend(METADATA_VERSION.to_be_bytes());
    body.extend(CORRELATION.to_be_bytes());
    body.extend((CLIENT.len() as i16).to_be_bytes());
    body.extend(CLIENT.as_bytes());
    body.extend(0_i32.to_be_bytes()); // no topics
    body.push(0); // and none is to be created
    let mut request = (body.len() as i32).to_be_bytes().to_vec();
    request.extend(body);
    request
}

/// The brokers' ids in an answer.
fn parse_brokers(answer: &[u8]) -> Result<Vec<i32>> {
    let mut rest = answer;
    ensure!(take_i32(&mut rest)? == CORRELATION, "the answer is to another request");
    take_i32(&mut rest)?; // how long the request was held back
    let count = take_i32(&mut rest)?;
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(take_i32(&mut rest)?);
        skip_text(&mut rest)?; // host
        take_i32(&mut rest)?; // port
        skip_text(&mut rest)?; // rack
    }
    Ok(ids)
}

fn take_i32(rest: &mut &[u8]) -> Result<i32> {
    let (number, after) = rest.split_first_chunk().context("the answer is cut short")?;
    *rest = after;
    Ok(i32::from_be_bytes(*number))
}

/// A length of -1 says that there is no text.
fn skip_text(rest: &mut &[u8]) -> Result<()> {
    let (length, after) = rest.split_first_chunk().context("the answer is cut short")?;
    let length = usize::try_from(i16::from_be_bytes(*length)).unwrap_or(0);
    *rest = after.get(length..).context("the answer is cut short")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(ids: &[i32]) -> Vec<u8> {
        let mut bytes = CORRELATION.to_be_bytes().to_vec();
        bytes.extend(0_i32.to_be_bytes());
        bytes.extend((ids.len() as i32).to_be_bytes());
        for id in ids {
            bytes.extend(id.to_be_bytes());
            bytes.extend(9_i16.to_be_bytes());
            bytes.extend(b"127.0.0.1");
            bytes.extend(19_092_i32.to_be_bytes());
            bytes.extend((-1_i16).to_be_bytes());
        }
        bytes.extend(b"what comes after is not looked at");
        bytes
    }

    #[test]
    fn brokers_are_read_from_answers() {
        for ids in [vec![], vec![1], vec![1, 2, 3]] {
            assert_eq!(parse_brokers(&answer(&ids)).expect("an answer"), ids);
        }
        assert!(parse_brokers(&answer(&[1, 2])[..30]).is_err(), "cut short");
        assert!(parse_brokers(&[0; 12]).is_err(), "to another request");
    }

    #[test]
    fn requests_tell_their_length() {
        let request = request();
        assert_eq!(request[..4], (request.len() as i32 - 4).to_be_bytes());
        assert_eq!(request[4..8], [0, 3, 0, 4]);
    }
}
