//! Paths into a value: JSONPath as RFC 9535 defines it.
//!
//! A path that leads to one place, through names and indexes only, is followed on the text itself. The rest of any other
//! path, from its first step that may lead to several places, is left to the library. Paths cost time in proportion to what
//! they look at: whatever could take longer (searches within searches, filters that look elsewhere) is refused.

use super::root::{Root, Step};
use super::tree::Node;
use super::value::Value;
use jsonpath_rust::parser::model::{
    Comparable, Filter, FilterAtom, FnArg, JpQuery, Segment, Selector, SingularQuery, Test, TestFunction,
};
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;

/// The limit on the length of a path, in bytes.
pub(super) const PATH_BYTES_MAX: usize = 500;
/// How many brackets and parentheses may stand open at once. The parser takes three times as long with each.
const NESTING_MAX: usize = 8;
/// How many places a step may name at once.
const SELECTORS_MAX: usize = 10;

/// The names that a path goes through, up to its first step that is none: what it needs.
pub(crate) type PathNames<'a> = [&'a str];

/// A path, ready to be followed.
#[derive(Debug)]
pub(crate) struct Path {
    /// Up to the first step that may lead to several places.
    steps: Vec<Step>,
    /// From there.
    rest: Option<JpQuery>,
}

impl Path {
    /// Reads a path. It begins with `$`, or with the first name.
    ///
    /// # Errors
    /// What is wrong with it, to be read after its name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > PATH_BYTES_MAX {
            return Err(format!("has {} bytes; the limit is {PATH_BYTES_MAX}", text.len()));
        }
        if text.is_empty() {
            return Err("is empty; write `$` for the whole event".to_owned());
        }
        if matches!(text, "$" | "$.") {
            return Ok(Self { steps: Vec::new(), rest: None });
        }
        let whole = if text.starts_with('$') {
            text.to_owned()
        } else if text.starts_with('[') {
            format!("${text}")
        } else {
            format!("$.{text}")
        };
        let brackets = Brackets::of(&whole);
        if brackets.nesting > NESTING_MAX {
            return Err(format!("has more than {NESTING_MAX} brackets within each other"));
        }
        let query = if brackets.has_blank_outside { None } else { parse_json_path(&whole).ok() };
        let query = query.ok_or(
            "is no JSONPath (RFC 9535); names with other characters than letters, digits and _ stand in brackets, \
             $.properties['first name'], and so do indexes, $.properties.products[0]",
        )?;
        Self::of(query.segments)
    }

    fn of(segments: Vec<Segment>) -> Result<Self, String> {
        check_segments(&segments)?;
        let mut segments = segments.into_iter().peekable();
        let mut steps = Vec::new();
        while let Some(step) = segments.peek().and_then(step) {
            steps.push(step);
            segments.next();
        }
        let rest: Vec<Segment> = segments.collect();
        Ok(Self { steps, rest: (!rest.is_empty()).then(|| JpQuery::new(rest)) })
    }

    /// What stands there: of a path that leads to one place the value, if there is one; of any other a list of all that it
    /// leads to, and nothing if what it looks at is deeper than values are taken apart.
    pub(crate) fn evaluate<'a>(&self, root: &Root<'a>) -> Option<Value<'a>> {
        match &self.rest {
            None => root.find(&self.steps).map(|found| found.value()),
            Some(rest) => self.all(rest, root).map(Value::List),
        }
    }

    /// The first that it leads to.
    pub(crate) fn first<'a>(&self, root: &Root<'a>) -> Option<Value<'a>> {
        match &self.rest {
            None => root.find(&self.steps).map(|found| found.value()),
            Some(rest) => self.all(rest, root)?.into_iter().next(),
        }
    }

    fn all<'a>(&self, rest: &JpQuery, root: &Root<'a>) -> Option<Vec<Value<'a>>> {
        let Some(found) = root.find(&self.steps) else { return Some(Vec::new()) };
        let tree = Node::new(found)?;
        Some(match js_path_process(rest, &tree) {
            Ok(places) => places.iter().map(|place| place.val.value()).collect(),
            // It says so of what is a value and no place, which the queries that it parses never lead to.
            Err(_) => Vec::new(),
        })
    }

    /// The names that it goes through, up to its first step that is none.
    pub(crate) fn names(&self) -> Vec<&str> {
        names(&self.steps)
    }
}

/// The names of steps, up to the first step that is none.
pub(super) fn names(steps: &[Step]) -> Vec<&str> {
    let steps = steps.iter();
    let names = steps.map_while(|step| match step {
        Step::Name(name) | Step::Either(name, _) => Some(&**name),
        Step::Index(_) => None,
    });
    names.collect()
}

/// How a path's brackets and parentheses lie, texts in quotes left aside.
struct Brackets {
    /// How many stand open at once.
    nesting: usize,
    /// Whether there is a blank where none is open: the parser would take it for a part of a name.
    has_blank_outside: bool,
}

impl Brackets {
    fn of(text: &str) -> Self {
        let mut seen = Self { nesting: 0, has_blank_outside: false };
        let mut depth = 0_usize;
        let mut quote = None;
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            match (quote, byte) {
                (Some(_), b'\\') => {
                    bytes.next();
                }
                (Some(open), _) if open == byte => quote = None,
                (Some(_), _) => {}
                (None, b'\'' | b'"') => quote = Some(byte),
                (None, b'(' | b'[') => {
                    depth += 1;
                    seen.nesting = seen.nesting.max(depth);
                }
                (None, b')' | b']') => depth = depth.saturating_sub(1),
                (None, _) => seen.has_blank_outside |= depth == 0 && byte.is_ascii_whitespace(),
            }
        }
        seen
    }
}

/// A step that leads to one place.
fn step(segment: &Segment) -> Option<Step> {
    match segment {
        Segment::Selector(Selector::Name(name)) => Some(Step::Name(name.as_str().into())),
        Segment::Selector(Selector::Index(index)) => Some(Step::Index(*index)),
        Segment::Selector(Selector::Wildcard | Selector::Slice(..) | Selector::Filter(_))
        | Segment::Selectors(_)
        | Segment::Descendant(_) => None,
    }
}

fn check_segments(segments: &[Segment]) -> Result<(), String> {
    let mut searches = 0;
    let mut lists = 0;
    for segment in segments {
        let segment = match segment {
            Segment::Descendant(inner) => {
                searches += 1;
                inner.as_ref()
            }
            Segment::Selector(_) | Segment::Selectors(_) => segment,
        };
        match segment {
            Segment::Selector(selector) => check_selector(selector)?,
            Segment::Selectors(selectors) => {
                lists += 1;
                if selectors.len() > SELECTORS_MAX {
                    return Err(format!("names more than {SELECTORS_MAX} places in one pair of brackets"));
                }
                selectors.iter().try_for_each(check_selector)?;
            }
            Segment::Descendant(_) => return Err("has one `..` right behind another".to_owned()),
        }
    }
    if searches > 1 {
        return Err("has more than one `..`".to_owned());
    }
    if lists > 1 {
        return Err("names several places in more than one pair of brackets".to_owned());
    }
    Ok(())
}

fn check_selector(selector: &Selector) -> Result<(), String> {
    match selector {
        Selector::Filter(filter) => check_filter(filter),
        Selector::Name(_) | Selector::Wildcard | Selector::Index(_) | Selector::Slice(..) => Ok(()),
    }
}

fn check_filter(filter: &Filter) -> Result<(), String> {
    match filter {
        Filter::Or(filters) | Filter::And(filters) => filters.iter().try_for_each(check_filter),
        Filter::Atom(FilterAtom::Filter { expr, .. }) => check_filter(expr),
        Filter::Atom(FilterAtom::Test { expr, .. }) => check_test(expr),
        Filter::Atom(FilterAtom::Comparison(comparison)) => {
            let (left, right) = comparison.vals();
            check_comparable(left)?;
            check_comparable(right)
        }
    }
}

fn check_test(test: &Test) -> Result<(), String> {
    match test {
        Test::RelQuery(segments) if segments.iter().all(|segment| step(segment).is_some()) => Ok(()),
        Test::RelQuery(_) => {
            Err("has a filter that looks at several places; name one, such as `@.price`".to_owned())
        }
        Test::AbsQuery(_) => Err(elsewhere()),
        Test::Function(function) => check_function(function),
    }
}

fn check_comparable(comparable: &Comparable) -> Result<(), String> {
    match comparable {
        Comparable::Literal(_) | Comparable::SingularQuery(SingularQuery::Current(_)) => Ok(()),
        Comparable::SingularQuery(SingularQuery::Root(_)) => Err(elsewhere()),
        Comparable::Function(function) => check_function(function),
    }
}

fn check_function(function: &TestFunction) -> Result<(), String> {
    match function {
        TestFunction::Length(argument) => check_argument(argument),
        TestFunction::Value(argument) | TestFunction::Count(argument) => check_argument(argument),
        TestFunction::Custom(..) | TestFunction::Search(..) | TestFunction::Match(..) => {
            Err("has a function that is not supported; there are length, count and value".to_owned())
        }
    }
}

fn check_argument(argument: &FnArg) -> Result<(), String> {
    match argument {
        FnArg::Literal(_) => Ok(()),
        FnArg::Test(test) => check_test(test),
        FnArg::Filter(filter) => check_filter(filter),
    }
}

fn elsewhere() -> String {
    "has a filter that looks elsewhere; a filter can look at what it filters only, `@`".to_owned()
}
