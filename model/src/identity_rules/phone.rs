//! Phone numbers in the one form in which they are compared: E.164.
//!
//! What countries' numbers look like, and what is dialled before them, is the data of the crate `phonenumber`
//! (Google's libphonenumber). The reading of a number is our own, for two reasons. It takes any text that clients
//! send, so it must not panic. And it must be exact: the crate strips what looks like a national prefix though it is
//! part of the number (a free-phone number of Russia, +7 800…).
//!
//! A number with a plus whose country is known counts even if the country's pattern doesn't fit: patterns lag behind
//! the ranges that are handed out. A number in national form has to fit. Letters and extensions are refused: people
//! behind one switchboard are not one person.

use crate::identifier::NotAnIdentifier;
use phonenumber::Metadata;
use phonenumber::metadata::DATABASE;
use regex::{Regex, RegexBuilder};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, OnceLock};

/// More than any way to write a number takes.
const RAW_BYTES_MAX: usize = 64;
/// The digits that a number of a known country needs where no pattern fits: fewer is a short code, more is none.
const DIGITS: std::ops::RangeInclusive<usize> = 8..=15;

/// A number as E.164: `+4930123456`. `region` is the country of numbers that are not written internationally.
///
/// # Errors
/// If it is no number, or a national one and no region is given.
pub(crate) fn e164(raw: &str, region: Option<&str>) -> Result<String, NotAnIdentifier> {
    let written = Written::parse(raw)?;
    if written.is_international {
        return international(&written.digits).ok_or(NotAnIdentifier::Malformed);
    }
    let region = region.and_then(|id| BOOK.regions.get(id)).ok_or(NotAnIdentifier::Malformed)?;
    let number = match region.after_international_prefix(&written.digits) {
        Some(digits) => international(digits),
        None => region.national(&written.digits),
    };
    number.ok_or(NotAnIdentifier::Malformed)
}

/// Whether national numbers of that country can be read.
pub(super) fn knows_region(id: &str) -> bool {
    id.len() == 2 && BOOK.regions.contains_key(id)
}

/// A number's digits, without what people put between them.
struct Written {
    is_international: bool,
    digits: String,
}

impl Written {
    fn parse(raw: &str) -> Result<Self, NotAnIdentifier> {
        let text = raw.trim();
        if text.is_empty() {
            return Err(NotAnIdentifier::Empty);
        }
        if text.len() > RAW_BYTES_MAX {
            return Err(NotAnIdentifier::TooLong);
        }
        let text = text.strip_prefix("tel:").unwrap_or(text);
        let (is_international, text) = match text.strip_prefix(['+', '\u{ff0b}']) {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut digits = String::with_capacity(text.len());
        for character in text.chars() {
            match character {
                '0'..='9' => digits.push(character),
                ' '
                | '\u{a0}'
                | '\u{202f}'
                | '\t'
                | '-'
                | '\u{2010}'..='\u{2015}'
                | '.'
                | '/'
                | '('
                | ')' => {}
                _ => return Err(NotAnIdentifier::Malformed),
            }
        }
        Ok(Self { is_international, digits })
    }
}

/// A number whose first digits are a country's code.
fn international(digits: &str) -> Option<String> {
    // No code is the beginning of another.
    let (code, regions) = (1..=3).find_map(|length| {
        let code = digits.get(..length).filter(|code| !code.starts_with('0'))?;
        Some((code, BOOK.codes.get(&code.parse::<u16>().ok()?)?))
    })?;
    let national = &digits[code.len()..];
    let fits = |number: &str| regions.iter().any(|region| region.fits(number));
    if fits(national) {
        return Some(format!("+{digits}"));
    }
    // As in "+49 (0)30 …": the prefix is dialled at home only.
    match regions.first().and_then(|main| main.without_prefix(national)).filter(|number| fits(number)) {
        Some(number) => Some(format!("+{code}{number}")),
        None => DIGITS.contains(&digits.len()).then(|| format!("+{digits}")),
    }
}

/// What is known about the numbers of a country.
struct Region {
    code: u16,
    /// What its national numbers look like, whole.
    general: Pattern,
    /// What is dialled for numbers abroad.
    international_prefix: Option<Pattern>,
    /// What is dialled for numbers at home, in front of them.
    national_prefix: Option<Pattern>,
    /// What the national prefix is replaced by, where it has a part that belongs to the number.
    transform: Option<String>,
}

impl Region {
    fn new(data: &Metadata) -> Self {
        let prefix = data.national_prefix_for_parsing().map(|prefix| prefix.as_str());
        Self {
            code: data.country_code(),
            general: Pattern::whole(data.descriptors().general().national_number().as_str()),
            international_prefix: data
                .international_prefix()
                .map(|prefix| Pattern::beginning(prefix.as_str())),
            national_prefix: prefix.or(data.national_prefix()).map(Pattern::beginning),
            transform: data.national_prefix_transform_rule().map(str::to_owned),
        }
    }

    fn fits(&self, national: &str) -> bool {
        self.general.get().is_match(national)
    }

    /// What follows the prefix for numbers abroad, if that is how the number begins.
    fn after_international_prefix<'a>(&self, digits: &'a str) -> Option<&'a str> {
        let prefix = self.international_prefix.as_ref()?.get().find(digits)?;
        Some(&digits[prefix.end()..]).filter(|rest| !rest.is_empty() && !rest.starts_with('0'))
    }

    /// The number without the prefix for numbers at home, if that is how it begins.
    fn without_prefix(&self, digits: &str) -> Option<String> {
        let found = self.national_prefix.as_ref()?.get().captures(digits)?;
        let whole = found.get(0)?;
        let mut number = String::new();
        let part = found.get(found.len() - 1).filter(|_| found.len() > 1);
        if let (Some(rule), Some(_)) = (&self.transform, part) {
            found.expand(rule, &mut number);
        }
        number.push_str(&digits[whole.end()..]);
        Some(number).filter(|number| number != digits)
    }

    /// A number as it is dialled at home.
    fn national(&self, digits: &str) -> Option<String> {
        let code = self.code.to_string();
        let written = || Some(digits.to_owned());
        let with_code = || digits.strip_prefix(&*code).map(str::to_owned);
        [self.without_prefix(digits), written(), with_code()]
            .into_iter()
            .flatten()
            .find(|number| self.fits(number))
            .map(|number| format!("+{code}{number}"))
    }
}

/// A regular expression of the data, compiled when it is first needed.
struct Pattern {
    source: String,
    compiled: OnceLock<Regex>,
}

impl Pattern {
    fn whole(source: &str) -> Self {
        Self { source: format!("^(?:{source})$"), compiled: OnceLock::new() }
    }

    fn beginning(source: &str) -> Self {
        Self { source: format!("^(?:{source})"), compiled: OnceLock::new() }
    }

    fn get(&self) -> &Regex {
        self.compiled.get_or_init(|| {
            RegexBuilder::new(&self.source)
                // The data is indented, and is about ASCII digits.
                .ignore_whitespace(true)
                .unicode(false)
                .build()
                .expect("a test compiles every pattern of the data")
        })
    }
}

/// Every country.
struct Book {
    /// By code; the main country of a shared code first.
    codes: HashMap<u16, Vec<Arc<Region>>>,
    /// By ISO 3166 name.
    regions: HashMap<String, Arc<Region>>,
}

static BOOK: LazyLock<Book> = LazyLock::new(|| {
    let mut book = Book { codes: HashMap::new(), regions: HashMap::new() };
    for code in 1..=999u16 {
        for data in DATABASE.by_code(&code).unwrap_or_default() {
            let region = Arc::new(Region::new(data));
            book.codes.entry(code).or_default().push(Arc::clone(&region));
            book.regions.insert(data.id().to_owned(), region);
        }
    }
    book
});

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// (written, region, E.164)
    #[test]
    fn numbers_have_one_form() {
        let malformed = Err(NotAnIdentifier::Malformed);
        let cases = [
            ("+4930123456", None, Ok("+4930123456")),
            (" +49 (0)30 / 12-34.56 ", None, Ok("+4930123456")),
            ("tel:+49-30-123456", None, Ok("+4930123456")),
            ("030 123456", Some("DE"), Ok("+4930123456")),
            ("30 123456", Some("DE"), Ok("+4930123456")),
            ("0049 30 123456", Some("DE"), Ok("+4930123456")),
            ("011 49 30 123456", Some("US"), Ok("+4930123456")),
            ("(650) 253-0000", Some("US"), Ok("+16502530000")),
            ("1 650 253 0000", Some("US"), Ok("+16502530000")),
            ("+1 (555) 010-0199", None, Ok("+15550100199")),
            ("+44 20 7946 0018", Some("DE"), Ok("+442079460018")),
            ("+44 (0)20 7946 0018", None, Ok("+442079460018")),
            ("+39 02 3661 8300", None, Ok("+390236618300")),
            ("06 31 96 65 43", Some("FR"), Ok("+33631966543")),
            ("8 916 123-45-67", Some("RU"), Ok("+79161234567")),
            // What the crate's own reading gets wrong: the number begins like the national prefix.
            ("+7 800 555 35 35", None, Ok("+78005553535")),
            ("8 800 555 35 35", Some("RU"), Ok("+78005553535")),
            ("800 555 35 35", Some("RU"), Ok("+78005553535")),
            // Abroad is dialled 990, 994 and so on from there: a plus says that it isn't.
            ("+994 50 123 45 67", Some("FI"), Ok("+994501234567")),
            // The mobile mark is written in another place at home than abroad.
            ("011 15-1234-5678", Some("AR"), Ok("+5491112345678")),
            ("+54 9 11 1234 5678", None, Ok("+5491112345678")),
            // A range that the data doesn't know.
            ("+370 2 123 4567", None, Ok("+37021234567")),
            ("030 123456", None, malformed),
            ("+999 123 456 789", None, malformed),
            ("+0 30 123456", None, malformed),
            ("+49 110", None, malformed),
            ("110", Some("DE"), malformed),
            ("0", Some("DE"), malformed),
            ("+", None, malformed),
            ("+1 650 253 0000 ext. 12", None, malformed),
            ("1-800-FLOWERS", Some("US"), malformed),
            ("null", Some("DE"), malformed),
            ("00000000", Some("DE"), malformed),
            ("  ", None, Err(NotAnIdentifier::Empty)),
        ];
        for (raw, region, want) in cases {
            assert_eq!(e164(raw, region), want.map(str::to_owned), "{raw} in {region:?}");
        }
        assert_eq!(e164(&"1".repeat(65), None), Err(NotAnIdentifier::TooLong));
    }

    #[test]
    fn every_pattern_of_the_data_compiles() {
        assert!(BOOK.regions.len() > 200);
        for region in BOOK.codes.values().flatten() {
            region.general.get();
            for prefix in [&region.international_prefix, &region.national_prefix].into_iter().flatten() {
                prefix.get();
            }
        }
        assert!(knows_region("DE") && !knows_region("001") && !knows_region("de") && !knows_region("ZZ"));
    }

    proptest! {
        /// Whatever the text, there is no panic, and the form of the form is itself: under any region.
        #[test]
        fn the_form_is_stable(
            raw in "(\\+|00|011|)[0-9 ]{0,20}",
            other in any::<String>(),
            pick in any::<prop::sample::Index>(),
        ) {
            let mut regions: Vec<&str> = BOOK.regions.keys().map(String::as_str).collect();
            regions.sort_unstable();
            let region = Some(*pick.get(&regions));
            let _ = e164(&other, region);
            if let Ok(form) = e164(&raw, region) {
                prop_assert_eq!(e164(&form, region), Ok(form.clone()));
                prop_assert_eq!(e164(&form, None), Ok(form));
            }
        }
    }
}
