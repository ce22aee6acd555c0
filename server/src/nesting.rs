//! How deeply JSON is nested.

/// How deeply objects and arrays are nested in a JSON text; a flat object is 1 deep.
pub(crate) fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_what_is_nested_and_no_text() {
        let cases = [
            ("7", 0),
            ("{}", 1),
            (r#"{"a":[{"b":1}],"c":{}}"#, 3),
            (r#"{"a":"[[[{","b":"\"[["}"#, 1),
            ("]]]]{", 1),
        ];
        for (text, want) in cases {
            assert_eq!(depth(text.as_bytes()), want, "{text}");
        }
    }
}
