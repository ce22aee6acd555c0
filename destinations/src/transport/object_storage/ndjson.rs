//! Payloads as lines of JSON.

use crate::exchange::Payload;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// The payloads, each on a line of its own.
pub(super) fn lines(payloads: &[Payload]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payloads.iter().map(|payload| payload.body.len() + 1).sum());
    for payload in payloads {
        line(&payload.body, &mut out);
    }
    out
}

/// The same, compressed by gzip (RFC 1952), without a name and a time: the same payloads become the same bytes.
pub(super) fn compressed(payloads: &[Payload]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut buffer = Vec::new();
    for payload in payloads {
        buffer.clear();
        line(&payload.body, &mut buffer);
        encoder.write_all(&buffer).expect("memory takes all that is written");
    }
    encoder.finish().expect("memory takes all that is written")
}

/// Adds a JSON value and a line feed. The value's bytes stay as they are, unless the client that wrote it broke lines:
/// then it loses the white space between its parts. Texts and the digits of numbers stay in any case.
pub(super) fn line(json: &[u8], out: &mut Vec<u8>) {
    if memchr::memchr2(b'\n', b'\r', json).is_none() {
        out.extend_from_slice(json);
    } else {
        without_space(json, out);
    }
    out.push(b'\n');
}

/// Adds a JSON value without the white space between its parts. Within texts JSON allows no line breaks.
fn without_space(json: &[u8], out: &mut Vec<u8>) {
    let (mut in_text, mut escaped) = (false, false);
    for &byte in json {
        if in_text {
            in_text = byte != b'"' || escaped;
            escaped = byte == b'\\' && !escaped;
        } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        } else {
            in_text = byte == b'"';
        }
        out.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::payload;
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;
    use tributary_model::Timestamp;

    #[test]
    fn a_value_becomes_one_line() {
        let cases = [
            ("as it stands", r#"{"a" : 1.50,  "b":"x  y"}"#, r#"{"a" : 1.50,  "b":"x  y"}"#),
            (
                "broken lines",
                "{\n  \"a\": 9007199254740993,\r\n\t\"b\": [1.0, 2e5]\n}",
                r#"{"a":9007199254740993,"b":[1.0,2e5]}"#,
            ),
            (
                "space in texts",
                "{\"a b\":\n\" c \\\" d \\\\\" , \"e\": \"\\\\\\\" f\"}",
                r#"{"a b":" c \" d \\","e":"\\\" f"}"#,
            ),
            ("escaped breaks", "{\"a\":\"x\\ny\"}", r#"{"a":"x\ny"}"#),
            ("space alone", "{\"a\": \n {} , \"b\" : [\n] }", r#"{"a":{},"b":[]}"#),
        ];
        for (name, json, want) in cases {
            let mut out = Vec::new();
            line(json.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).expect("text"), format!("{want}\n"), "{name}");
        }
    }

    #[test]
    fn compressed_lines_are_the_lines() {
        let payloads: Vec<Payload> =
            (0..50).map(|n| payload("msg_1", Timestamp::default(), &format!("{{\"n\":\n{n}}}"))).collect();
        let plain = lines(&payloads);
        assert_eq!(
            plain.split(|byte| *byte == b'\n').count(),
            51,
            "a line each, and nothing behind the last"
        );
        let packed = compressed(&payloads);
        assert_eq!(packed, compressed(&payloads), "the same payloads are the same bytes");
        let mut read = Vec::new();
        GzDecoder::new(packed.as_slice()).read_to_end(&mut read).expect("gzip");
        assert_eq!(read, plain);
    }
}
