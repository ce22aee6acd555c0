//! A writer of one JSON object, member by member: a load test writes millions of them.

/// The object being written.
pub(super) struct Json {
    text: String,
    /// Whether everything outside ASCII is written as `\uXXXX`, as Python's SDK does.
    ascii_only: bool,
}

impl Json {
    /// An empty object.
    pub(super) fn new(ascii_only: bool) -> Self {
        let mut text = String::with_capacity(1024);
        text.push('{');
        Self { text, ascii_only }
    }

    /// A member with a text.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.string(value);
    }

    /// A member whose value is JSON text already.
    pub(super) fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.text.push_str(json);
    }

    /// Begins a member that is an object; [`Self::close`] ends it.
    pub(super) fn open(&mut self, name: &str) {
        self.name(name);
        self.text.push('{');
    }

    /// Begins an object within a list; [`Self::close`] ends it.
    pub(super) fn open_item(&mut self) {
        self.comma();
        self.text.push('{');
    }

    /// Ends an object.
    pub(super) fn close(&mut self) {
        self.text.push('}');
    }

    /// Begins a member that is a list; [`Self::close_list`] ends it.
    pub(super) fn open_list(&mut self, name: &str) {
        self.name(name);
        self.text.push('[');
    }

    /// Ends a list.
    pub(super) fn close_list(&mut self) {
        self.text.push(']');
    }

    /// The whole object.
    pub(super) fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }

    fn comma(&mut self) {
        if !self.text.ends_with(['{', '[']) {
            self.text.push(',');
        }
    }

    fn name(&mut self, name: &str) {
        self.comma();
        self.string(name);
        self.text.push(':');
    }

    fn string(&mut self, value: &str) {
        self.text.push('"');
        for letter in value.chars() {
            match letter {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                control if control < ' ' => self.escape(control),
                other if self.ascii_only && !other.is_ascii() => self.escape(other),
                other => self.text.push(other),
            }
        }
        self.text.push('"');
    }

    fn escape(&mut self, letter: char) {
        for unit in letter.encode_utf16(&mut [0; 2]) {
            self.text.push_str(&format!("\\u{unit:04x}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_is_written_reads_back() {
        for ascii_only in [false, true] {
            let mut json = Json::new(ascii_only);
            json.text("te\"xt", "a\\b\n\u{1}é👍");
            json.open("empty");
            json.close();
            json.open_list("list");
            for number in ["1.50", "null"] {
                json.open_item();
                json.raw("n", number);
                json.close();
            }
            json.close_list();
            let text = json.finish();
            assert_eq!(text.is_ascii(), ascii_only, "{text}");
            let got: Value = serde_json::from_str(&text).expect("JSON");
            let want = json!({"te\"xt": "a\\b\n\u{1}é👍", "empty": {}, "list": [{"n": 1.5}, {"n": null}]});
            assert_eq!(got, want);
        }
    }
}
