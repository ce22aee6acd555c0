use super::*;

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
    for text in refused {
        assert!(check_host(&Url::parse(text).expect("a URL")).is_err(), "{text}");
    }
    for text in ["http://1.1.1.1/", "https://example.com/", "http://[2606:4700::1111]/"] {
        assert!(check_host(&Url::parse(text).expect("a URL")).is_ok(), "{text}");
    }
}

#[test]
fn a_name_with_private_addresses_only_is_refused() {
    let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().expect("an address"), 0)).collect()
    };
    let mixed = addresses(&["10.0.0.1", "1.1.1.1", "::1"]);
    let passed: Vec<_> = only_public(mixed.into_iter()).expect("one is public").collect();
    assert_eq!(passed, addresses(&["1.1.1.1"]));
    assert!(only_public(addresses(&["10.0.0.1", "::1"]).into_iter()).is_err());
}

#[tokio::test]
async fn a_refused_name_is_told_apart_from_an_outage() {
    let client = Client::new(Addresses::Public, &Limits::default()).expect("a client");
    for url in ["http://localhost:9/secret-path", "http://127.0.0.1:9/secret-path"] {
        let request =
            OutboundRequest { url: Url::parse(url).expect("a URL"), headers: Vec::new(), body: Bytes::new() };
        let error = client.send(request, Timestamp::default()).await.expect_err("it is refused");
        assert!(matches!(error, SendError::Refused(_)), "{url}: {error:?}");
        assert!(error.to_string().contains("--allow-private-destinations"));
    }
}

#[tokio::test]
async fn errors_name_no_url() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = closed.local_addr().expect("an address").port();
    drop(closed);
    let client = Client::new(Addresses::Any, &Limits::default()).expect("a client");
    let url = Url::parse(&format!("http://user:pass@127.0.0.1:{port}/secret-path")).expect("a URL");
    let request = OutboundRequest { url, headers: Vec::new(), body: Bytes::new() };
    let error = client.send(request, Timestamp::default()).await.expect_err("nobody listens");
    assert!(matches!(error, SendError::Connection(_)), "{error:?}");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("secret-path") && !shown.contains("pass@"), "{shown}");
}
