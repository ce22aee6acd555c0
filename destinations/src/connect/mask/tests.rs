use super::*;
use proptest::prelude::*;
use serde_json::json;

fn masker(secrets: &[&str]) -> Masker {
    Masker::new(secrets.iter().copied())
}

#[test]
fn every_form_of_a_secret_is_hidden() {
    let secret = "p/ss \"wörd\"+1?";
    let forms = [
        ("plain", "x=p/ss \"wörd\"+1?;".to_owned(), "x=********;"),
        ("of a form", "x=p%2Fss+%22w%C3%B6rd%22%2B1%3F&".to_owned(), "x=********&"),
        ("with small digits", "x=p%2fss+%22w%c3%b6rd%22%2b1%3f&".to_owned(), "x=********&"),
        ("of a query", "x=p/ss%20%22w%C3%B6rd%22+1?&".to_owned(), "x=********&"),
        ("of a path", "/p/ss%20%22w%C3%B6rd%22+1%3F/".to_owned(), "/********/"),
        ("reserved letters", "x=p%2Fss%20%22w%C3%B6rd%22%2B1%3F&".to_owned(), "x=********&"),
        ("JSON", r#"{"x":"p/ss \"wörd\"+1?"}"#.to_owned(), r#"{"x":"********"}"#),
        ("JSON of ASCII", r#"{"x":"p/ss \"w\u00f6rd\"+1?"}"#.to_owned(), r#"{"x":"********"}"#),
        ("JSON with slashes", r#"{"x":"p\/ss \"wörd\"+1?"}"#.to_owned(), r#"{"x":"********"}"#),
        ("hexadecimal digits", format!("x={};", hex::encode(secret)), "x=********;"),
        ("hexadecimal digits, large", format!("x={};", hex::encode_upper(secret)), "x=********;"),
        ("Base64", format!("x={};", STANDARD_NO_PAD.encode(secret)), "x=********;"),
        ("Base64 of URLs", format!("x={};", URL_SAFE_NO_PAD.encode(secret)), "x=********;"),
    ];
    for (name, text, want) in forms {
        assert_eq!(masker(&[secret]).text(&text), want, "{name}");
    }
}

#[test]
fn a_secret_is_hidden_in_what_was_made_for_a_page() {
    let masker = masker(&["a&b<c>\"d'e/f=`+"]);
    let forms = [
        ("between tags", "a&amp;b&lt;c&gt;\"d'e/f=`+"),
        ("an attribute", "a&amp;b&lt;c&gt;&quot;d'e/f=`+"),
        ("Ruby", "a&amp;b&lt;c&gt;&quot;d&#39;e/f=`+"),
        ("PHP", "a&amp;b&lt;c&gt;&quot;d&#039;e/f=`+"),
        ("Python", "a&amp;b&lt;c&gt;&quot;d&#x27;e/f=`+"),
        ("XML", "a&amp;b&lt;c&gt;&quot;d&apos;e/f=`+"),
        ("Go", "a&amp;b&lt;c&gt;&#34;d&#39;e/f=`+"),
        ("Handlebars", "a&amp;b&lt;c&gt;&quot;d&#x27;e/f&#x3D;&#x60;+"),
        ("Mustache", "a&amp;b&lt;c&gt;&quot;d&#39;e&#x2F;f&#x3D;&#x60;+"),
        ("JSON of Go", r#"a\u0026b\u003cc\u003e\"d'e/f=`+"#),
        ("JSON of .NET", r"a\u0026b\u003Cc\u003E\u0022d\u0027e/f=\u0060\u002B"),
    ];
    for (name, form) in forms {
        assert_eq!(masker.text(&format!("<{form}>")), "<********>", "{name}");
    }
}

#[test]
fn a_secret_within_longer_base64_is_hidden_but_for_its_edges() {
    let secret = "correct horse battery";
    for before in ["", "u", "us", "use", "user:"] {
        let whole = format!("{before}{secret} and more");
        let shown = masker(&[secret]).text(&STANDARD_NO_PAD.encode(whole));
        assert!(shown.contains(MASK), "{before:?}: {shown}");
        assert!(shown.len() < MASK.len() + 24, "{before:?}: {shown}");
    }
}

#[test]
fn a_short_secret_is_hidden_where_it_is_a_whole() {
    let masker = masker(&["abc", ""]);
    assert_eq!(masker.text("the abc of it"), "the abc of it");
    assert_eq!(masker.text(r#"{"k":"abc","l":"abcd"}"#), r#"{"k":********,"l":"abcd"}"#);
    assert_eq!(masker.whole("abc"), MASK);
    assert_eq!(masker.whole("abcd"), "abcd");
    let cases = [
        ("https://abc.example/abc/x", "https://abc.example/********/x"),
        ("https://e.example/in?k=abc&l=abcd&abc", "https://e.example/in?k=********&l=abcd&********"),
        ("https://e.example/%61bc?abc=1", "https://e.example/********?abc=1"),
    ];
    for (url, want) in cases {
        assert_eq!(masker.url(&Url::parse(url).expect("a URL")), want);
    }
}

#[test]
fn secrets_that_overlap_are_hidden_together() {
    let masker = masker(&["abcdef", "defghi", "cdef", "xyz-xyz"]);
    assert_eq!(masker.text("<abcdefghi>"), "<********>");
    assert_eq!(masker.text("<xyz-xyz-xyz>"), "<********>");
    assert_eq!(masker.text("<abcdef><cdef>"), "<********><********>");
    assert_eq!(masker.with(["more"].into_iter()).text("more abcdef"), "******** ********");
    assert_eq!(self::masker(&[]).text("nothing"), "nothing");
}

#[test]
fn bodies_are_hidden_first_and_cut_then() {
    let cases: [(&str, &[u8], usize, &str); 8] = [
        ("whole", b"a secret!", 100, "a ********!"),
        ("cut within the secret", b"a secret!", 5, "a ***"),
        ("room for the mask", b"a secret!", 12, "a ********!"),
        ("cut before the secret", b"a secret!", 2, "a "),
        ("nothing of a cut secret moves up", b"secret-long-one secret-long-two", 20, "******** ********"),
        ("a letter of two bytes", "aé".as_bytes(), 2, "a"),
        ("no UTF-8", b"a\xffb", 100, "a\u{fffd}b"),
        ("nothing", b"", 0, ""),
    ];
    let masker = masker(&["secret", "secret-long-one", "secret-long-two"]);
    for (name, body, most, want) in cases {
        assert_eq!(masker.body(body, most), want, "{name}");
    }
}

fn spec(settings: &serde_json::Value) -> Spec {
    serde_json::from_value(json!({
        "name": "x", "title": "X", "help": "X.", "settings": settings, "actions": [],
        "transport": {"kind": "object_storage"},
    }))
    .expect("a definition")
}

#[test]
fn secrets_are_taken_from_settings() {
    let setting = |name: &str, kind: &str, secret: bool| json!({"name": name, "title": name, "kind": kind, "secret": secret, "help": "X."});
    let spec = spec(&json!([
        setting("hook", "url", true),
        setting("open", "url", false),
        setting("key", "text", true),
        setting("name", "text", false),
        setting("headers", "headers", true),
    ]));
    let settings: RawSettings = serde_json::from_value(json!({
        "hook": "https://hooks.example/services/T0001/verysecretpart?key=anothersecret",
        "open": "https://user:pass%21word@open.example/path-of-it",
        "key": "key-4711",
        "name": "name-4711",
        "headers": {"x-api-key": "header-4711", "x-none": null},
    }))
    .expect("settings");
    let masker = Masker::of_settings(&spec, &settings);
    let cases = [
        (
            "https://hooks.example/services/T0001/verysecretpart?key=anothersecret",
            "https://hooks.example/********",
        ),
        ("no such part as verysecretpart", "no such part as ********"),
        ("anothersecret is wrong", "******** is wrong"),
        ("https://open.example/path-of-it", "https://open.example/path-of-it"),
        ("pass!word", MASK),
        ("key-4711 name-4711 header-4711", "******** name-4711 ********"),
    ];
    for (text, want) in cases {
        assert_eq!(masker.text(text), want);
    }
}

#[test]
fn parts_of_secret_headers_are_hidden_where_they_stand_alone() {
    let spec = spec(&json!([
        {"name": "headers", "title": "H", "kind": "headers", "secret": true, "help": "X."},
    ]));
    let shown = |name: &str, value: &str, text: &str| {
        let settings: RawSettings =
            serde_json::from_value(json!({"headers": {name: value}})).expect("settings");
        Masker::of_settings(&spec, &settings).text(text)
    };
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("ada:pass-4711"));
    let text = &basic["Basic ".len()..];
    let (cookies, signed) = ("session=SESSIONSECRET99; a=b", r#"Signature key="part-of-it",x=1"#);
    let cases = [
        ("authorization", "Bearer TOPSECRETTOKEN0123", "no TOPSECRETTOKEN0123", "no ********"),
        ("Authorization", "bearer  tiny", "no tiny", "no ********"),
        ("x-auth", "Token a b", "no a b", "no a b"),
        ("authorization", &basic, text, MASK),
        ("authorization", &basic, text.trim_end_matches('='), MASK),
        ("authorization", &basic, "ada:pass-4711 is none", "******** is none"),
        ("authorization", &basic, "ada, pass-4711", "ada, ********"),
        ("authorization", "Basic no-base64!", "no no-base64!", "no ********"),
        ("cookie", cookies, "SESSIONSECRET99, session, a, b", "********, session, a, b"),
        ("x-signed", signed, "part-of-it is 1", "******** is 1"),
        ("accept", "application/json; q=0.5", "application/json", "application/json"),
        ("accept", "application/json; q=0.5", "application/json; q=0.5", MASK),
    ];
    for (name, value, text, want) in cases {
        assert_eq!(shown(name, value, text), want, "{name}: {value}");
    }
}

proptest! {
    #[test]
    fn no_form_of_a_secret_is_left(
        secrets in proptest::collection::vec("[a-zA-Z0-9/+=%&\" é_.-]{4,24}", 1..4),
        before in "[a-z /%]{0,5}",
        between in "[a-z /%]{0,5}",
        most in 0usize..200,
    ) {
        let masker = Masker::new(secrets.iter().map(String::as_str));
        for form in secrets.iter().flat_map(|secret| forms(secret)) {
            let text = format!("{before}{form}{between}{form}");
            for shown in [masker.text(&text), masker.body(text.as_bytes(), most)] {
                prop_assert!(!shown.contains(&form), "{shown:?} holds {form:?}");
            }
            prop_assert!(masker.body(text.as_bytes(), most).len() <= most);
        }
    }
}
