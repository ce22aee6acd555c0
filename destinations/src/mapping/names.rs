//! Names as vendors take them: of events, and of an object's members.

use heck::ToSnakeCase;

/// A text with an underscore for every character that is no letter and no digit of ASCII, cut after so many; `None` if it is
/// that already.
pub(super) fn cleaned(text: &str, characters_max: Option<usize>) -> Option<String> {
    let is_clean = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let most = characters_max.unwrap_or(usize::MAX);
    // A text in which all of it is clean has as many characters as bytes.
    if text.len() <= most && text.chars().all(is_clean) {
        return None;
    }
    Some(text.chars().map(|c| if is_clean(c) { c } else { '_' }).take(most).collect())
}

/// Whether it is a text, or begins so where that ends with `*`.
pub(super) fn begins(text: &str, reserved: &str) -> bool {
    match reserved.strip_suffix('*') {
        Some(beginning) => text.starts_with(beginning),
        None => text == reserved,
    }
}

/// Whether any of these is about a name, however its words are parted: `first_name` is about `firstName` and `First name`. `*`
/// at the beginning and at the end stands for anything.
pub(super) fn is_named(name: &str, by: &[String]) -> bool {
    if by.is_empty() {
        return false;
    }
    let name = name.to_snake_case();
    by.iter().any(|pattern| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(ending), None) => name.ends_with(ending),
        (Some(rest), Some(_)) => name.contains(rest.trim_end_matches('*')),
        (None, _) => begins(&name, pattern),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned() {
        let cases = [
            ("plan_2", None, None),
            ("", None, None),
            ("Order: Grün/2", None, Some("Order__Gr_n_2")),
            ("abcde", Some(5), None),
            ("abcdef", Some(5), Some("abcde")),
            ("äbcdef", Some(5), Some("_bcde")),
            ("äbcd", Some(5), Some("_bcd")),
        ];
        for (text, most, want) in cases {
            assert_eq!(cleaned(text, most).as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn a_name_is_known_however_its_words_are_parted() {
        let by = ["*email*", "first_name", "phone*", "*_street"].map(str::to_owned);
        let (of_these, others) = (
            [
                "email",
                "EMAIL",
                "userEmail",
                "e.emails_0",
                "First Name",
                "first-name",
                "firstName",
                "phone",
                "PhoneNumber",
                "home street",
            ],
            ["plan", "name", "first", "first_names", "smartphone", "street", "e_mail", ""],
        );
        for name in of_these {
            assert!(is_named(name, &by), "{name}");
        }
        for name in others {
            assert!(!is_named(name, &by), "{name}");
        }
        assert!(!is_named("email", &[]));
    }
}
