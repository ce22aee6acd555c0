//! Hiding secrets in what is shown and remembered of requests and answers.
//!
//! A secret of four bytes or more is hidden wherever it stands, in each of these forms: plain; percent-encoded, as
//! forms, paths and queries encode it, with either case of hexadecimal digits; escaped as in JSON or HTML; in hexadecimal
//! digits; in Base64 of either alphabet, also where other text stands before and behind it. A shorter one would take
//! harmless text with it wherever its few letters occur; it is hidden where it is a whole: a JSON text, a header's value,
//! a part of a URL's path, a value in its query.
//!
//! Of a secret header its parts are secrets, too: receivers repeat a token without its scheme, or one cookie of several.
//!
//! Where forms overlap, all that they cover is hidden. What is long is looked at only as far as it is shown, and beyond
//! that as far as needed to know a secret that is cut off.

use crate::definition::{RawSettings, SettingKind, Spec};
use aho_corasick::{AhoCorasick, AhoCorasickKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::collections::BTreeSet;
use std::ops::Range;
use url::{Position, Url, form_urlencoded};

/// What stands in the place of a secret.
pub(crate) const MASK: &str = "********";

/// The shortest secret that is hidden wherever it stands, in bytes.
const ANYWHERE_BYTES_MIN: usize = 4;

/// The shortest part of a URL that counts as a secret of its own, in bytes, if the URL is one.
const URL_PART_BYTES_MIN: usize = 12;

/// The shortest piece of Base64 that is looked for. Shorter ones occur by chance.
const BASE64_PIECE_MIN: usize = 8;

/// The shortest piece of a header's value that is a secret of its own, in bytes: shorter ones are common words.
const HEADER_PIECE_BYTES_MIN: usize = 8;

/// How many pieces of a header's value are secrets of their own.
const HEADER_PIECES_MAX: usize = 50;

/// Schemes behind which stands nothing but a secret, however short.
const SCHEMES: [&str; 3] = ["basic", "bearer", "token"];

/// Headers that say nothing about who the sender is. Pieces of them, such as `application/json`, stand in many answers.
const COMMON_HEADERS: [&str; 6] =
    ["accept", "accept-encoding", "accept-language", "cache-control", "content-type", "user-agent"];

/// How HTML is written beside `&amp;`, `&lt;` and `&gt;`, which all write alike: the text between tags; an attribute; Ruby,
/// Django and lodash; PHP; Python; XML; Go; Handlebars; Mustache.
const HTML: [&[(char, &str)]; 9] = [
    &[],
    &[('"', "&quot;")],
    &[('"', "&quot;"), ('\'', "&#39;")],
    &[('"', "&quot;"), ('\'', "&#039;")],
    &[('"', "&quot;"), ('\'', "&#x27;")],
    &[('"', "&quot;"), ('\'', "&apos;")],
    &[('"', "&#34;"), ('\'', "&#39;")],
    &[('"', "&quot;"), ('\'', "&#x27;"), ('`', "&#x60;"), ('=', "&#x3D;")],
    &[('"', "&quot;"), ('\'', "&#39;"), ('/', "&#x2F;"), ('`', "&#x60;"), ('=', "&#x3D;")],
];

/// What is left as it is by careful encoders: the unreserved characters of RFC 3986.
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What URLs encode in queries, and what in paths.
const QUERY: AsciiSet = CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'\'');
const PATH: AsciiSet = QUERY.remove(b'\'').add(b'?').add(b'^').add(b'`').add(b'{').add(b'}');

/// Hides some secrets.
#[derive(Clone)]
pub(crate) struct Masker {
    secrets: BTreeSet<String>,
    /// Every form of every secret; `None` without secrets.
    forms: Option<AhoCorasick>,
}

impl Masker {
    /// Hides these secrets. Empty ones are none.
    pub(crate) fn new<'a>(secrets: impl Iterator<Item = &'a str>) -> Self {
        let secrets: BTreeSet<String> =
            secrets.filter(|secret| !secret.is_empty()).map(str::to_owned).collect();
        let forms: BTreeSet<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
        let forms = (!forms.is_empty()).then(|| {
            // There may be one for each destination: the compact kind.
            let built = AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(&forms);
            built.expect("the forms of settings are far fewer and shorter than 2^31 states")
        });
        Self { secrets, forms }
    }

    /// Hides these, too.
    pub(crate) fn with<'a>(&'a self, more: impl Iterator<Item = &'a str>) -> Self {
        Self::new(self.secrets.iter().map(String::as_str).chain(more))
    }

    /// Hides the values of the settings that are secret. Of a secret URL everything behind its host is one, as a whole and
    /// in longer parts: its host says where things go. A password in a URL is a secret in any case.
    pub(crate) fn of_settings(spec: &Spec, settings: &RawSettings) -> Self {
        let mut secrets = Vec::new();
        for setting in &spec.settings {
            let Some(value) = settings.get(&setting.name) else { continue };
            match (setting.kind, value) {
                (SettingKind::Url, serde_json::Value::String(text)) => {
                    of_url(text, setting.secret, &mut secrets);
                }
                (SettingKind::Headers, serde_json::Value::Object(headers)) if setting.secret => {
                    of_headers(headers, &mut secrets);
                }
                _ if setting.secret => of_value(value, &mut secrets),
                _ => {}
            }
        }
        Self::new(secrets.iter().map(String::as_str))
    }

    /// The text without secrets.
    pub(crate) fn text(&self, text: &str) -> String {
        self.body(text.as_bytes(), usize::MAX)
    }

    /// A header's value, or another whole, without secrets.
    pub(crate) fn whole(&self, value: &str) -> String {
        if self.secrets.contains(value) { MASK.to_owned() } else { self.text(value) }
    }

    /// The URL without secrets.
    pub(crate) fn url(&self, url: &Url) -> String {
        let text = url.as_str();
        let (address, query) =
            text.split_once('?').map_or((text, None), |(address, query)| (address, Some(query)));
        // The host is between the second and the third slash; no part before it is a secret.
        let mut shown = String::with_capacity(text.len());
        for (at, part) in address.split('/').enumerate() {
            shown.push_str(if at > 0 { "/" } else { "" });
            shown.push_str(if at > 2 { self.part(part) } else { part });
        }
        for (at, pair) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
            shown.push(if at == 0 { '?' } else { '&' });
            match pair.split_once('=') {
                Some((name, value)) => {
                    shown.push_str(name);
                    shown.push('=');
                    shown.push_str(self.part(value));
                }
                None => shown.push_str(self.part(pair)),
            }
        }
        self.text(&shown)
    }

    fn part<'a>(&self, part: &'a str) -> &'a str {
        let decoded = percent_decode_str(part).decode_utf8_lossy();
        if self.secrets.contains(decoded.as_ref()) { MASK } else { part }
    }

    /// The beginning of a body as text, at most so many bytes, without secrets. A byte that is no UTF-8 becomes U+FFFD.
    pub(crate) fn body(&self, bytes: &[u8], most: usize) -> String {
        let end = whole_characters(bytes, most);
        let mut shown = String::with_capacity(end);
        let mut from = 0;
        for hidden in self.hidden(bytes, end) {
            shown.push_str(&String::from_utf8_lossy(&bytes[from..hidden.start]));
            shown.push_str(MASK);
            from = hidden.end.min(end);
        }
        shown.push_str(&String::from_utf8_lossy(&bytes[from..end]));
        shown.truncate(shown.floor_char_boundary(most));
        shown
    }

    /// What is to be hidden that begins before `end`: in order, and nothing twice.
    fn hidden(&self, bytes: &[u8], end: usize) -> Vec<Range<usize>> {
        let mut hidden: Vec<Range<usize>> = Vec::new();
        let Some(forms) = &self.forms else { return hidden };
        let seen = bytes.len().min(end.saturating_add(forms.max_pattern_len()));
        let mut found: Vec<Range<usize>> =
            forms.find_overlapping_iter(&bytes[..seen]).map(|found| found.range()).collect();
        found.sort_unstable_by_key(|found| found.start);
        for found in found.into_iter().filter(|found| found.start < end) {
            match hidden.last_mut() {
                Some(last) if found.start < last.end => last.end = last.end.max(found.end),
                Some(_) | None => hidden.push(found),
            }
        }
        hidden
    }
}

/// Where the last character ends that fits into so many bytes.
fn whole_characters(bytes: &[u8], most: usize) -> usize {
    if bytes.len() <= most {
        return bytes.len();
    }
    let cut = bytes[..most].utf8_chunks().last().map_or(0, |chunk| chunk.invalid().len());
    most - cut
}

/// The texts in a setting's value.
fn of_value(value: &serde_json::Value, secrets: &mut Vec<String>) {
    match value {
        serde_json::Value::Null | serde_json::Value::Bool(_) => {}
        serde_json::Value::Number(number) => secrets.push(number.to_string()),
        serde_json::Value::String(text) => secrets.push(text.clone()),
        serde_json::Value::Array(list) => list.iter().for_each(|value| of_value(value, secrets)),
        serde_json::Value::Object(members) => members.values().for_each(|value| of_value(value, secrets)),
    }
}

/// What is secret of headers: their values, and what of those a receiver may repeat alone.
fn of_headers(headers: &serde_json::Map<String, serde_json::Value>, secrets: &mut Vec<String>) {
    for (name, value) in headers {
        of_value(value, secrets);
        let is_common = COMMON_HEADERS.iter().any(|common| name.eq_ignore_ascii_case(common));
        if let Some(text) = value.as_str().filter(|_| !is_common) {
            of_header(text, secrets);
        }
    }
}

/// What stands behind a scheme, and the longer pieces of the value.
fn of_header(text: &str, secrets: &mut Vec<String>) {
    if let Some((scheme, rest)) = text.trim().split_once([' ', '\t']) {
        let rest = rest.trim_start();
        let is_known = SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known));
        if is_known || rest.len() >= HEADER_PIECE_BYTES_MIN {
            secrets.push(rest.to_owned());
        }
        if scheme.eq_ignore_ascii_case("basic") {
            of_basic(rest, secrets);
        }
    }
    let pieces = text.split([' ', '\t', ';', ',', '=']).map(|piece| piece.trim_matches('"'));
    let long = pieces.filter(|piece| piece.len() >= HEADER_PIECE_BYTES_MIN);
    secrets.extend(long.take(HEADER_PIECES_MAX).map(str::to_owned));
}

/// What the credentials of HTTP Basic say: name and password together, and the password.
fn of_basic(encoded: &str, secrets: &mut Vec<String>) {
    let Ok(decoded) = STANDARD_NO_PAD.decode(encoded.trim_end_matches('=')) else { return };
    let Ok(pair) = String::from_utf8(decoded) else { return };
    secrets.extend(pair.split_once(':').map(|(_, password)| password.to_owned()));
    secrets.push(pair);
}

fn of_url(text: &str, is_secret: bool, secrets: &mut Vec<String>) {
    let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let Ok(parsed) = Url::parse(text) else { return };
    secrets.extend(parsed.password().map(decoded));
    if !is_secret {
        return;
    }
    secrets.push(decoded(parsed.username()));
    secrets.push(parsed[Position::BeforePath..].trim_start_matches('/').to_owned());
    let path = parsed.path().split('/').map(decoded);
    let query = parsed.query_pairs().map(|(_, value)| value.into_owned());
    secrets.extend(path.chain(query).filter(|part| part.len() >= URL_PART_BYTES_MIN));
}

/// The forms in which a secret is looked for.
fn forms(secret: &str) -> BTreeSet<String> {
    let json = serde_json::to_string(secret).expect("a text is JSON");
    if secret.len() < ANYWHERE_BYTES_MIN {
        return BTreeSet::from([json]);
    }
    let mut forms = BTreeSet::from([secret.to_owned(), hex::encode(secret), hex::encode_upper(secret)]);
    forms.extend(json_forms(&json[1..json.len() - 1]));
    forms.extend(HTML.iter().map(|entities| html(secret, entities)));
    let encoded =
        [&RESERVED, NON_ALPHANUMERIC, &QUERY, &PATH].map(|set| utf8_percent_encode(secret, set).to_string());
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    for encoded in encoded.into_iter().chain([form]) {
        forms.insert(lower_hex(&encoded));
        forms.insert(encoded);
    }
    forms.extend(base64_forms(secret));
    forms
}

/// A JSON text as encoders write it: some escape slashes, some letters that are not of ASCII, some what HTML would take for
/// its own.
fn json_forms(json: &str) -> [String; 5] {
    let for_html =
        |less: &str, greater: &str| json.replace('&', "\\u0026").replace('<', less).replace('>', greater);
    let all = for_html("\\u003C", "\\u003E").replace("\\\"", "\\u0022").replace('\'', "\\u0027");
    [
        json.to_owned(),
        json.replace('/', "\\/"),
        only_ascii(json),
        for_html("\\u003c", "\\u003e"),
        all.replace('+', "\\u002B").replace('`', "\\u0060"),
    ]
}

/// The text as HTML that has these letters in another form.
fn html(text: &str, entities: &[(char, &str)]) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    entities.iter().fold(text, |text, (letter, entity)| text.replace(*letter, entity))
}

/// The text with every letter that is not of ASCII in JSON's `\u` form.
fn only_ascii(json: &str) -> String {
    let mut units = [0; 2];
    let escape = |unit: &u16| format!("\\u{unit:04x}");
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter.is_ascii() {
            text.push(letter);
        } else {
            text.extend(letter.encode_utf16(&mut units).iter().map(escape));
        }
    }
    text
}

/// The text with the digits behind each percent sign in lower case.
fn lower_hex(encoded: &str) -> String {
    let mut digits = 0;
    let lower = |letter: char| {
        let is_digit = digits > 0;
        digits = if letter == '%' && !is_digit { 2_u8 } else { digits.saturating_sub(1) };
        if is_digit { letter.to_ascii_lowercase() } else { letter }
    };
    encoded.chars().map(lower).collect()
}

/// The Base64 of the secret, and what is always the same of the Base64 of a longer text that it is part of: that depends
/// on how many bytes stand before it, counted by threes. The first and the last digit may be shared with neighbours.
fn base64_forms(secret: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret.as_bytes());
        let own = (before * 8).div_ceil(6)..bytes.len() * 8 / 6;
        for encoded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            if own.len() >= BASE64_PIECE_MIN {
                forms.push(encoded[own.clone()].to_owned());
            }
            if before == 0 {
                forms.push(encoded);
            }
        }
    }
    forms
}

#[cfg(test)]
mod tests;
