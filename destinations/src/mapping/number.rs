//! Numbers as the digits that stand in JSON: compared and converted exactly, without an `f64` between.

use std::borrow::Cow;
use std::cmp::Ordering;

/// The most digits that an exponent may be written out to.
const DIGITS_MAX: i64 = 40;
/// Beyond this every exponent makes a number zero or larger than any limit.
const EXPONENT_MAX: i64 = i64::MAX / 8;

/// The parts of a JSON number.
struct Decimal<'a> {
    is_negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl<'a> Decimal<'a> {
    /// `None` if the text is no JSON number.
    fn parse(text: &'a str) -> Option<Self> {
        let (is_negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let is_well_formed = !whole.is_empty()
            && (whole.len() == 1 || !whole.starts_with('0'))
            && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
        is_well_formed.then_some(Self { is_negative, whole, fraction, exponent })
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.bytes().chain(self.fraction.bytes())
    }

    fn is_zero(&self) -> bool {
        self.digits().all(|digit| digit == b'0')
    }

    /// Where the point stands, counted from the first digit that is not zero.
    fn point(&self) -> i64 {
        self.whole.len() as i64 - self.leading_zeros() as i64 + self.exponent
    }

    fn leading_zeros(&self) -> usize {
        self.digits().take_while(|digit| *digit == b'0').count()
    }

    /// Compares what is left without signs.
    fn compare_sizes(&self, other: &Self) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        let by_point = self.point().cmp(&other.point());
        if by_point != Ordering::Equal {
            return by_point;
        }
        let mut left = self.digits().skip(self.leading_zeros());
        let mut right = other.digits().skip(other.leading_zeros());
        loop {
            let (left, right) = (left.next(), right.next());
            if left.is_none() && right.is_none() {
                return Ordering::Equal;
            }
            let by_digit = left.unwrap_or(b'0').cmp(&right.unwrap_or(b'0'));
            if by_digit != Ordering::Equal {
                return by_digit;
            }
        }
    }
}

fn read_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size: i64 = digits.parse().unwrap_or(EXPONENT_MAX).min(EXPONENT_MAX);
    Some(if text.starts_with('-') { -size } else { size })
}

/// Whether a text is a JSON number.
pub(super) fn is_number(text: &str) -> bool {
    Decimal::parse(text).is_some()
}

/// Whether a number is zero, in whatever form.
pub(super) fn is_zero(text: &str) -> bool {
    Decimal::parse(text).is_some_and(|number| number.is_zero())
}

/// Compares two numbers exactly; `None` if one is none.
pub(super) fn compare(left: &str, right: &str) -> Option<Ordering> {
    let (left, right) = (Decimal::parse(left)?, Decimal::parse(right)?);
    let is_below = |number: &Decimal<'_>| number.is_negative && !number.is_zero();
    Some(match (is_below(&left), is_below(&right)) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => left.compare_sizes(&right),
        (true, true) => right.compare_sizes(&left),
    })
}

/// A whole number without point and exponent: `12.0` and `1.2e1` are 12. `None` if it has a fraction, or far too many digits
/// to be written out.
pub(super) fn whole(text: &str) -> Option<Cow<'_, str>> {
    let number = Decimal::parse(text)?;
    if number.is_zero() {
        return Some(Cow::Borrowed("0"));
    }
    if number.exponent == 0 && number.fraction.is_empty() {
        return Some(Cow::Borrowed(text));
    }
    let point = number.point();
    if !(1..=DIGITS_MAX).contains(&point) {
        return None;
    }
    let mut digits = number.digits().skip(number.leading_zeros());
    let mut written = String::with_capacity(DIGITS_MAX as usize + 1);
    if number.is_negative {
        written.push('-');
    }
    for _ in 0..point {
        written.push(char::from(digits.next().unwrap_or(b'0')));
    }
    digits.all(|digit| digit == b'0').then_some(Cow::Owned(written))
}

/// A number times ten to the power of `places`, cut off behind the point; `None` if it has more than thirty digits.
pub(super) fn scaled(text: &str, places: u32) -> Option<i128> {
    let number = Decimal::parse(text)?;
    if number.is_zero() {
        return Some(0);
    }
    let wanted = number.point().saturating_add(i64::from(places));
    if wanted > 30 {
        return None;
    }
    let mut digits = number.digits().skip(number.leading_zeros());
    let mut size: i128 = 0;
    for _ in 0..wanted {
        size = size * 10 + i128::from(digits.next().unwrap_or(b'0') - b'0');
    }
    Some(if number.is_negative { -size } else { size })
}
