//! Edits to the text of a JSON object that leave everything else as the client wrote it.

use serde_json::value::RawValue;
use std::ops::Range;
use tributary_model::json::Members;
use tributary_proto::surrogate::offset_of;

/// A JSON object's text with edits to come: values replaced where they stand, members added before the
/// closing brace.
pub(crate) struct Splice<'a> {
    text: &'a str,
    replaced: Vec<(Range<usize>, String)>,
    added: String,
    is_empty: bool,
}

impl<'a> Splice<'a> {
    /// Edits of `text`, which is an object's text without white space around it.
    pub(crate) fn new(text: &'a str, is_empty: bool) -> Self {
        Self { text, replaced: Vec::new(), added: String::new(), is_empty }
    }

    /// Gives the member `name` the JSON text `value`: in the place of `present` if the object has the member,
    /// else at the end.
    pub(crate) fn set(&mut self, name: &str, present: Option<&RawValue>, value: &str) {
        let range = present.and_then(|present| {
            let start = offset_of(self.text, present.get())?;
            Some(start..start + present.get().len())
        });
        match range {
            Some(range) => self.replaced.push((range, value.to_owned())),
            None => {
                self.separate();
                self.added.push('"');
                self.added.push_str(name);
                self.added.push_str("\":");
                self.added.push_str(value);
            }
        }
    }

    /// Adds a member, given as it is written in another object: name, colon, value.
    pub(crate) fn add(&mut self, member: &str) {
        self.separate();
        self.added.push_str(member);
    }

    /// The edited text.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.replaced.sort_by_key(|(range, _)| range.start);
        let grown: usize = self.replaced.iter().map(|(_, value)| value.len()).sum();
        let mut edited = Vec::with_capacity(self.text.len() + grown + self.added.len());
        let mut from = 0;
        for (range, value) in &self.replaced {
            edited.extend_from_slice(&self.text.as_bytes()[from..range.start]);
            edited.extend_from_slice(value.as_bytes());
            from = range.end;
        }
        let brace = self.text.len() - 1;
        edited.extend_from_slice(&self.text.as_bytes()[from..brace]);
        edited.extend_from_slice(self.added.as_bytes());
        edited.push(b'}');
        edited
    }

    fn separate(&mut self) {
        if !self.is_empty || !self.added.is_empty() {
            self.added.push(',');
        }
    }
}

/// The members of an object as they are written there: decoded name, and name, colon and value verbatim.
pub(crate) fn written_members<'a>(object: &'a str, members: &Members<'a>) -> Vec<(String, &'a str)> {
    let mut from = 1;
    let mut written = Vec::with_capacity(members.len());
    for (name, value) in members.iter() {
        let Some(start) = offset_of(object, value.get()) else { continue };
        let end = start + value.get().len();
        // Between the value before and this one stand white space, a comma, the name and a colon.
        let quote = object[from..start].find('"').map_or(start, |quote| from + quote);
        written.push((name.to_owned(), &object[quote..end]));
        from = end;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_touch_nothing_else() {
        let text = r#"{ "a" : 1.50 , "b":null,"a": 2 , "c":"x" }"#;
        let members = Members::parse(text).expect("an object");
        let mut splice = Splice::new(text, false);
        splice.set("c", members.get("c"), "[]");
        splice.set("d", members.get("d"), "true");
        splice.set("a", members.get("a"), "\"last\"");
        splice.add(r#""e" : 9"#);
        let edited = String::from_utf8(splice.finish()).expect("UTF-8");
        assert_eq!(edited, r#"{ "a" : 1.50 , "b":null,"a": "last" , "c":[] ,"d":true,"e" : 9}"#);
    }

    #[test]
    fn an_empty_object_gets_no_leading_comma() {
        let mut splice = Splice::new("{ }", true);
        splice.set("a", None, "1");
        splice.set("b", None, "2");
        assert_eq!(splice.finish(), br#"{ "a":1,"b":2}"#);
        assert_eq!(Splice::new("{}", true).finish(), b"{}");
    }

    #[test]
    fn members_are_cut_out_as_written() {
        let text = r#"{ "\u0061" : {"x":","} ,"b":[1, 2],"c,\"":3}"#;
        let members = Members::parse(text).expect("an object");
        let want = [("a", r#""\u0061" : {"x":","}"#), ("b", r#""b":[1, 2]"#), ("c,\"", r#""c,\"":3"#)];
        let got = written_members(text, &members);
        assert_eq!(got.iter().map(|(name, text)| (name.as_str(), *text)).collect::<Vec<_>>(), want);
        assert!(written_members("{}", &Members::default()).is_empty());
    }
}
