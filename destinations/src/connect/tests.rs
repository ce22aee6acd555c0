use super::address::is_public;
use super::testing::{Answer, Receiver};
use super::*;
use std::net::{IpAddr, SocketAddr};

const SECOND: Duration = Duration::from_secs(1);

fn rule(addresses: Addresses, encryption: Encryption) -> AddressRule {
    AddressRule { addresses, encryption }
}

fn outbound(addresses: Addresses) -> Outbound {
    Outbound::new(addresses, 10 * SECOND).expect("a way out")
}

fn request(url: &str) -> OutboundRequest {
    OutboundRequest {
        method: "POST".to_owned(),
        url: Url::parse(url).expect("a URL"),
        headers: Vec::new(),
        body: Bytes::new(),
    }
}

async fn failure(outbound: &Outbound, request: OutboundRequest) -> Failure {
    outbound.send(request, 10 * SECOND, 100, Timestamp::default()).await.expect_err("it can't be sent")
}

/// A port of loopback on which nobody listens. It is none of those that are given to whoever asks for a free one.
const CLOSED_PORT: u16 = 9;

#[test]
fn only_public_addresses_pass() {
    let public = [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700::1111",
        "2001:4860::8888",
        "2a00::1",
        "::ffff:1.1.1.1",
        "64:ff9b::1.1.1.1",
        "2002:0101:0101::1",
    ];
    let refused = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.169.254",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:0001::1",
        "2002:0a00:0001::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ];
    for (addresses, want) in [(&public[..], true), (&refused[..], false)] {
        for text in addresses {
            let address: IpAddr = text.parse().expect("an address");
            assert_eq!(is_public(address), want, "{text}");
        }
    }
}

#[test]
fn every_spelling_of_an_address_is_seen_through() {
    let refused = [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://0x7f.0.0.1:80/",
        "http://127.0.0.1./",
        "http://%31%32%37.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[0:0:0:0:0:0:0:1]/",
        "http://0/",
        "http://１２７.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "http://user:pass@10.0.0.1/",
    ];
    let rule = rule(Addresses::Public, Encryption::Tls);
    for text in refused {
        assert!(rule.check_host(&Url::parse(text).expect("a URL")).is_err(), "{text}");
    }
    for text in ["http://1.1.1.1/", "https://example.com/", "http://[2606:4700::1111]/"] {
        assert_eq!(rule.check_host(&Url::parse(text).expect("a URL")), Ok(()), "{text}");
    }
}

#[test]
fn what_may_be_reached_depends_on_encryption_and_configuration() {
    use RefusedAddress::{Metadata, NotPublic, Unencrypted};
    let cases = [
        ("1.1.1.1", [Ok(()), Ok(()), Err(Unencrypted), Err(Unencrypted)]),
        ("2606:4700::1111", [Ok(()), Ok(()), Err(Unencrypted), Err(Unencrypted)]),
        ("127.0.0.1", [Err(NotPublic), Ok(()), Err(NotPublic), Ok(())]),
        ("10.0.0.1", [Err(NotPublic), Ok(()), Err(NotPublic), Ok(())]),
        ("100.64.0.1", [Err(NotPublic), Ok(()), Err(NotPublic), Ok(())]),
        ("::1", [Err(NotPublic), Ok(()), Err(NotPublic), Ok(())]),
        ("::ffff:10.0.0.1", [Err(NotPublic), Ok(()), Err(NotPublic), Ok(())]),
        ("169.254.1.1", [Err(Metadata); 4]),
        ("169.254.255.255", [Err(Metadata); 4]),
        ("fe80::1", [Err(NotPublic), Ok(()), Err(NotPublic), Ok(())]),
        ("fd00::1", [Err(NotPublic), Ok(()), Err(NotPublic), Ok(())]),
        ("64:ff9b:1::1", [Err(NotPublic), Ok(()), Err(NotPublic), Ok(())]),
        ("64:ff9b:1::10.0.0.1", [Err(NotPublic), Ok(()), Err(NotPublic), Ok(())]),
        ("169.254.169.254", [Err(Metadata); 4]),
        ("::ffff:169.254.169.254", [Err(Metadata); 4]),
        ("64:ff9b::169.254.169.254", [Err(Metadata); 4]),
        ("168.63.129.16", [Err(Metadata); 4]),
        ("100.100.100.200", [Err(Metadata); 4]),
        // The same in the forms of RFC 6052, by the length of the prefix: 96, 48, 56 and 64.
        ("64:ff9b:1::169.254.169.254", [Err(Metadata); 4]),
        ("64:ff9b:1:a9fe:a9:fe00:101:101", [Err(Metadata); 4]),
        ("64:ff9b:1:a9:fe:a9fe:0:0", [Err(Metadata); 4]),
        ("64:ff9b:1:0:a9:fea9:fe00:0", [Err(Metadata); 4]),
        ("fd00:ec2::254", [Err(Metadata); 4]),
        ("fd00:ec2::23", [Err(Metadata); 4]),
        ("fd00:ec2:1::1", [Err(Metadata); 4]),
        ("fd00:c1::a9fe:a9fe", [Err(Metadata); 4]),
        ("fe80::a9fe:a9fe", [Err(Metadata); 4]),
        ("fd20:ce::254", [Err(Metadata); 4]),
    ];
    let rules = [
        rule(Addresses::Public, Encryption::Tls),
        rule(Addresses::Any, Encryption::Tls),
        rule(Addresses::Public, Encryption::None),
        rule(Addresses::Any, Encryption::None),
    ];
    for (text, want) in cases {
        let address: IpAddr = text.parse().expect("an address");
        assert_eq!(rules.map(|rule| rule.check(address)), want, "{text}");
    }
}

#[test]
fn a_name_with_private_addresses_only_is_refused() {
    let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().expect("an address"), 0)).collect()
    };
    let mixed = addresses(&["10.0.0.1", "1.1.1.1", "::1", "169.254.169.254"]);
    let only = |rule: AddressRule, given: &[SocketAddr]| rule.only_allowed(given.iter().copied());
    let public = rule(Addresses::Public, Encryption::Tls);
    assert_eq!(only(public, &mixed), Ok(addresses(&["1.1.1.1"])));
    assert_eq!(only(public, &addresses(&["10.0.0.1", "::1"])), Err(RefusedAddress::NotPublic));
    let plain = rule(Addresses::Any, Encryption::None);
    assert_eq!(only(plain, &mixed), Ok(addresses(&["10.0.0.1", "::1"])));
    assert_eq!(only(plain, &addresses(&["1.1.1.1"])), Err(RefusedAddress::Unencrypted));
}

#[tokio::test]
async fn a_refused_name_is_told_apart_from_an_outage() {
    let outbound = outbound(Addresses::Public);
    let (private, metadata) = ("--allow-private-destinations", "metadata service");
    let cases = [
        ("https://localhost:9/secret-path", private),
        ("http://localhost:9/secret-path", private),
        ("https://127.0.0.1:9/secret-path", private),
        ("http://0x7f.1:9/secret-path", private),
        ("https://[::ffff:10.0.0.1]/secret-path", private),
        ("http://1.1.1.1:9/secret-path", "use https"),
        ("http://169.254.169.254/secret-path", metadata),
    ];
    for (url, want) in cases {
        let failure = failure(&outbound, request(url)).await;
        assert_eq!(failure.reason, Reason::AddressRefused, "{url}: {failure:?}");
        assert!(failure.text.contains(want) && !failure.text.contains("secret-path"), "{url}: {failure:?}");
    }
    for (host, encryption) in
        [("localhost", Encryption::Tls), ("[::1]", Encryption::None), ("127.1", Encryption::None)]
    {
        let failure = outbound.stream(host, 9, encryption).await.expect_err("it is refused");
        assert_eq!(failure.reason, Reason::AddressRefused, "{host}: {failure:?}");
    }
}

#[tokio::test]
async fn errors_are_told_apart_and_name_no_url() {
    let outbound = outbound(Addresses::Any);
    let plain = Receiver::start(|_| Answer::status(200));
    let rude = Receiver::start(|_| Answer::HangUp);
    let silent = Receiver::start(|_| Answer::Silence);
    let to = |scheme: &str, host: &str| request(&format!("{scheme}://user:hidden@{host}/secret-path"));
    let header = |name: &str, value: &str| OutboundRequest {
        headers: vec![(name.to_owned(), value.to_owned())],
        ..to("http", "127.0.0.1:9")
    };
    let no_method = OutboundRequest { method: "SECRET PATH".to_owned(), ..to("http", "127.0.0.1:9") };
    let cases = [
        (to("http", &format!("127.0.0.1:{CLOSED_PORT}")), Reason::Connection, true),
        (to("http", &rude.host()), Reason::Connection, true),
        (to("http", &silent.host()), Reason::Timeout, true),
        (to("https", &plain.host()), Reason::Tls, true),
        (header("x-hidden", "secret-path\n"), Reason::InvalidRequest, false),
        (header("secret path", "x"), Reason::InvalidRequest, false),
        (no_method, Reason::InvalidRequest, false),
        (to("ftp", "127.0.0.1"), Reason::InvalidRequest, false),
    ];
    for (request, reason, outage) in cases {
        let shown = format!("{request:?}");
        let timeout = if reason == Reason::Timeout { SECOND / 4 } else { 10 * SECOND };
        let sent = outbound.send(request, timeout, 100, Timestamp::default()).await;
        let failure = sent.expect_err("it can't be sent");
        assert_eq!((failure.reason, failure.outage), (reason, outage), "{shown}: {failure:?}");
        for hidden in ["secret-path", "secret path", "hidden@"] {
            assert!(!format!("{failure:?} {shown}").contains(hidden), "{shown}: {failure:?}");
        }
    }
}

#[tokio::test]
async fn answers_are_read_as_they_come_and_no_further_than_asked() {
    let outbound = outbound(Addresses::Any);
    let cases = [
        ("as it is", Answer::full(200, "", "taken"), 200, None, "taken", true),
        ("as long as may be", Answer::full(200, "", "0123456789"), 200, None, "0123456789", true),
        ("cut", Answer::full(200, "", &"x".repeat(1_000_000)), 200, None, "xxxxxxxxxx", false),
        ("not followed", Answer::full(302, "location: http://127.0.0.1:1/\r\n", ""), 302, None, "", true),
        (
            "not decompressed",
            Answer::full(200, "content-encoding: gzip\r\n", "\u{1f}packed"),
            200,
            None,
            "\u{1f}packed",
            true,
        ),
        (
            "encoded in no way",
            Answer::full(200, "content-encoding: Identity\r\n", "taken"),
            200,
            None,
            "taken",
            true,
        ),
        ("nothing to decompress", Answer::full(204, "content-encoding: gzip\r\n", ""), 204, None, "", true),
        ("with a wish", Answer::full(429, "retry-after: 7\r\n", ""), 429, Some(7), "", true),
        ("without a form", Answer::full(503, "retry-after: soon\r\n", ""), 503, None, "", true),
        (
            "broken off",
            Answer::Raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbeg".to_owned()),
            200,
            None,
            "beg",
            false,
        ),
    ];
    for (name, answer, status, after, body, is_whole) in cases {
        let mut answer = Some(answer);
        let receiver = Receiver::start(move |_| answer.take().unwrap_or(Answer::HangUp));
        let request =
            OutboundRequest { body: Bytes::from_static(b"{}"), ..request(&receiver.url("/in?x=1")) };
        let response =
            outbound.send(request, 10 * SECOND, 10, Timestamp::default()).await.expect("an answer");
        assert_eq!(response.status, status, "{name}");
        assert_eq!(response.retry_after, after.map(Duration::from_secs), "{name}");
        assert_eq!(response.body, body.as_bytes(), "{name}");
        assert_eq!(response.is_whole, is_whole, "{name}");
        let seen = receiver.seen();
        assert_eq!(
            (seen.len(), &*seen[0].method, &*seen[0].target, &*seen[0].body),
            (1, "POST", "/in?x=1", "{}")
        );
        assert_eq!(response.is_encoded, name == "not decompressed", "{name}");
        assert_eq!(seen[0].header("accept-encoding"), "identity", "{name}: nobody is asked to compress");
    }
}

#[tokio::test]
async fn what_is_said_to_be_sent_is_sent() {
    let outbound = outbound(Addresses::Any);
    let own = |headers: &[(&str, &str)]| -> Vec<(String, String)> {
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let cases = [
        (own(&[]), own(&[("accept", "*/*"), ("accept-encoding", "identity")])),
        (
            own(&[("accept", "text/plain"), ("x-own", "1")]),
            own(&[("accept", "text/plain"), ("accept-encoding", "identity"), ("x-own", "1")]),
        ),
        (own(&[("accept-encoding", "gzip")]), own(&[("accept", "*/*"), ("accept-encoding", "gzip")])),
    ];
    for (headers, want) in cases {
        let receiver = Receiver::start(|_| Answer::status(200));
        let request = OutboundRequest { headers, ..request(&receiver.url("/in")) };
        let sorted = |mut headers: Vec<(String, String)>| {
            headers.retain(|(name, _)| !["host", "content-length"].contains(&name.as_str()));
            headers.sort();
            headers
        };
        let said = request.headers_sent().map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(sorted(said.collect()), want);
        outbound.send(request, 10 * SECOND, 10, Timestamp::default()).await.expect("an answer");
        assert_eq!(sorted(receiver.seen()[0].headers.clone()), want);
    }
}

#[tokio::test]
async fn a_stream_leads_to_the_address_that_passed() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let stream = outbound(Addresses::Any).stream("127.0.0.1", port, Encryption::None).await;
    let (_, from) = listener.accept().expect("a connection");
    assert_eq!(stream.expect("a stream").local_addr().expect("an address"), from);
    let failure = outbound(Addresses::Any).stream("127.0.0.1", CLOSED_PORT, Encryption::Tls).await;
    assert_eq!(failure.expect_err("nobody listens").reason, Reason::Connection);
}
