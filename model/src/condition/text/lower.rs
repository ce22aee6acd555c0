//! From what the grammar found to the tree.

use super::words::{self, Quantity, Wrong};
use super::{Rule, diagnose};
use crate::condition::error::{ConditionError, TextPlace, join};
use crate::condition::{
    Aggregate, Comparison, Condition, EventPattern, FieldPath, Literal, Members, Operand, Quantifier, Right,
    Sequence, Span, Step, Window,
};
use crate::event::EventKind;
use crate::time::Timestamp;
use diagnose::Spot;
use std::collections::BTreeMap;

type Pair<'t> = pest::iterators::Pair<'t, Rule>;
type Lowered<T> = Result<T, ConditionError>;

/// How often `not` may stand in a row. No tree that is accepted has more.
const NOTS_MAX: usize = 20;

/// What stands between the parts of a rule, and is no part.
const MARKS: [Rule; 20] = [
    Rule::open,
    Rule::close,
    Rule::comma,
    Rule::and,
    Rule::or,
    Rule::not,
    Rule::any,
    Rule::all,
    Rule::member,
    Rule::audience_word,
    Rule::account_word,
    Rule::sequence_word,
    Rule::then,
    Rule::without_word,
    Rule::where_word,
    Rule::within,
    Rule::between,
    Rule::trait_word,
    Rule::computed_word,
    Rule::field_word,
];

/// Makes a tree, and keeps where in the text each part of it stands.
pub(super) struct Lowering<'t> {
    text: &'t str,
    offsets: BTreeMap<String, usize>,
}

fn parts(pair: Pair<'_>) -> std::vec::IntoIter<Pair<'_>> {
    let parts: Vec<_> = pair.into_inner().filter(|part| !MARKS.contains(&part.as_rule())).collect();
    parts.into_iter()
}

fn only(pair: Pair<'_>) -> Pair<'_> {
    next(&mut parts(pair))
}

fn next<'t>(parts: &mut impl Iterator<Item = Pair<'t>>) -> Pair<'t> {
    parts.next().expect("the grammar demands this part")
}

impl<'t> Lowering<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, offsets: BTreeMap::new() }
    }

    /// An error in the tree, with its place in the text.
    pub(super) fn located(&self, error: ConditionError) -> ConditionError {
        ConditionError { at: Some(self.text_place(&error.place)), ..error }
    }

    /// Where in the text a place of the tree is: that of the smallest part around it that has one.
    pub(super) fn text_place(&self, place: &str) -> TextPlace {
        let mut place = place;
        let offset = loop {
            if let Some(offset) = self.offsets.get(place) {
                break *offset;
            }
            match place.rfind(['.', '[']) {
                Some(end) => place = &place[..end],
                None if place.is_empty() => break 0,
                None => place = "",
            }
        };
        TextPlace::of(self.text, offset)
    }

    fn note(&mut self, place: &str, pair: &Pair<'t>) {
        self.offsets.entry(place.to_owned()).or_insert(pair.as_span().start());
    }

    fn refuse(&self, pair: &Pair<'t>, wrong: Wrong) -> ConditionError {
        let (message, hint) = wrong;
        ConditionError::in_text(self.text, pair.as_span().start(), message).hinted(hint)
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the other rules are no conditions")]
    pub(super) fn condition(&mut self, pair: Pair<'t>, place: String) -> Lowered<Condition> {
        self.note(&place, &pair);
        Ok(match pair.as_rule() {
            Rule::condition | Rule::event_condition => self.joined(pair, place, "any", Condition::Any)?,
            Rule::conjunction | Rule::event_conjunction => self.joined(pair, place, "all", Condition::All)?,
            Rule::negation | Rule::event_negation => self.negation(pair, place)?,
            Rule::group | Rule::event_group => self.condition(only(pair), place)?,
            Rule::every | Rule::event_every => {
                Condition::All(self.conditions(parts(pair), &join(&place, "all"))?)
            }
            Rule::some | Rule::event_some => {
                Condition::Any(self.conditions(parts(pair), &join(&place, "any"))?)
            }
            Rule::members => self.members(pair, &place)?,
            Rule::account => {
                Condition::Account(Box::new(self.condition(only(pair), join(&place, "account"))?))
            }
            Rule::audience => {
                let key = only(pair);
                self.note(&join(&place, "audience"), &key);
                Condition::Audience(self.string(&key)?)
            }
            Rule::sequence => Condition::Sequence(self.sequence(pair, &join(&place, "sequence"))?),
            Rule::performed => {
                let mut parts = parts(pair);
                Condition::Performed(self.qualified(&mut parts, &join(&place, "performed"))?)
            }
            Rule::comparison | Rule::event_comparison => {
                Condition::Compare(self.comparison(pair, &join(&place, "compare"))?)
            }
            other => unreachable!("{other:?} is no condition"),
        })
    }

    /// One condition, or several with a word between.
    fn joined(
        &mut self,
        pair: Pair<'t>,
        place: String,
        name: &str,
        make: fn(Vec<Condition>) -> Condition,
    ) -> Lowered<Condition> {
        let mut parts = parts(pair);
        if parts.len() == 1 {
            return self.condition(next(&mut parts), place);
        }
        self.conditions(parts, &join(&place, name)).map(make)
    }

    fn conditions(&mut self, parts: impl Iterator<Item = Pair<'t>>, place: &str) -> Lowered<Vec<Condition>> {
        parts.enumerate().map(|(at, part)| self.condition(part, format!("{place}[{at}]"))).collect()
    }

    fn negation(&mut self, pair: Pair<'t>, place: String) -> Lowered<Condition> {
        let nots = pair.clone().into_inner().filter(|part| part.as_rule() == Rule::not).count();
        if nots > NOTS_MAX {
            let hint = "two of them are none".to_owned();
            return Err(self.refuse(&pair, (format!("there are {nots} `not` in a row"), Some(hint))));
        }
        let place = (0..nots).fold(place, |place, _| join(&place, "not"));
        let condition = self.condition(only(pair), place)?;
        Ok((0..nots).fold(condition, |condition, _| Condition::Not(Box::new(condition))))
    }

    fn members(&mut self, pair: Pair<'t>, place: &str) -> Lowered<Condition> {
        let is_any = pair.as_str().get(..3).is_some_and(|word| word.eq_ignore_ascii_case("any"));
        let quantifier = if is_any { Quantifier::Any } else { Quantifier::All };
        let condition = self.condition(only(pair), join(place, "members.condition"))?;
        Ok(Condition::Members(Members { quantifier, condition: Box::new(condition) }))
    }

    /// Events: a pattern, then what else holds of them.
    fn qualified(
        &mut self,
        parts: &mut impl Iterator<Item = Pair<'t>>,
        place: &str,
    ) -> Lowered<EventPattern> {
        let mut pattern = self.pattern(next(parts), place)?;
        for part in parts {
            self.qualify(&mut pattern, part, place)?;
        }
        Ok(pattern)
    }

    fn pattern(&mut self, pair: Pair<'t>, place: &str) -> Lowered<EventPattern> {
        self.note(place, &pair);
        let mut parts = parts(pair);
        let kind = next(&mut parts).as_str().to_ascii_lowercase();
        let kind = if kind == "event" { Some(EventKind::Track) } else { EventKind::parse(&kind) };
        let kind = kind.expect("the grammar lists the calls");
        let mut name = None;
        if let Some(string) = parts.next() {
            self.note(&join(place, "name"), &string);
            name = Some(self.string(&string)?);
        }
        Ok(EventPattern { kind, name, filter: None, window: Window::Ever })
    }

    fn qualify(&mut self, pattern: &mut EventPattern, part: Pair<'t>, place: &str) -> Lowered<()> {
        if part.as_rule() == Rule::filter {
            pattern.filter = Some(Box::new(self.condition(only(part), join(place, "where"))?));
        } else {
            pattern.window = self.window(part, &join(place, "window"))?;
        }
        Ok(())
    }

    fn window(&mut self, pair: Pair<'t>, place: &str) -> Lowered<Window> {
        self.note(place, &pair);
        let mut parts = parts(pair);
        let first = next(&mut parts);
        match parts.next() {
            Some(to) => Ok(Window::Between(self.moment(&first)?, self.moment(&to)?)),
            None => Ok(Window::Within(self.lasting(first)?)),
        }
    }

    fn moment(&self, pair: &Pair<'t>) -> Lowered<Timestamp> {
        let text = self.string(pair)?;
        Timestamp::parse(&text).ok_or_else(|| {
            let hint = r#"write a date, "2026-01-31", or a moment, "2026-01-31T12:00:00Z""#.to_owned();
            self.refuse(pair, ("this text is no date".to_owned(), Some(hint)))
        })
    }

    /// `within 30d`.
    fn lasting(&self, pair: Pair<'t>) -> Lowered<Span> {
        let length = only(only(pair));
        if length.as_rule() == Rule::string {
            let hint = words::span_meant(length.as_str().trim_matches(['"', '\'']));
            let hint =
                hint.map_or_else(|| "write it as 30d".to_owned(), |span| format!("did you mean `{span}`"));
            let message = "a length of time has no quotes".to_owned();
            return Err(self.refuse(&length, (message, Some(hint))));
        }
        words::span(length.as_str()).map_err(|wrong| self.refuse(&length, wrong))
    }

    pub(super) fn aggregate(&mut self, pair: Pair<'t>, place: &str) -> Lowered<Aggregate> {
        self.note(place, &pair);
        let mut parts = parts(pair);
        let function = words::function(next(&mut parts).as_str()).expect("the grammar lists the functions");
        let of_place = join(place, "of");
        let mut of = self.pattern(next(&mut parts), &of_place)?;
        let mut value = None;
        for part in parts {
            if part.as_rule() == Rule::value {
                let field = only(part);
                self.note(&join(place, "value"), &field);
                value = Some(self.field(&field, Spot::Value)?);
            } else {
                self.qualify(&mut of, part, &of_place)?;
            }
        }
        Ok(Aggregate { function, of, value })
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the other rules are no parts of a sequence")]
    fn sequence(&mut self, pair: Pair<'t>, place: &str) -> Lowered<Sequence> {
        self.note(place, &pair);
        let mut parts = parts(pair);
        let first_place = join(place, "first");
        let first = self.pattern(next(&mut parts), &first_place)?;
        let mut sequence = Sequence { first, then: Vec::new(), window: Window::Ever };
        for part in parts {
            match part.as_rule() {
                Rule::filter => self.qualify(&mut sequence.first, part, &first_place)?,
                Rule::step => {
                    let step = self.step(part, &format!("{place}.then[{}]", sequence.then.len()))?;
                    sequence.then.push(step);
                }
                Rule::lasting => {
                    self.note(&join(place, "window"), &part);
                    sequence.window = Window::Within(self.lasting(part)?);
                }
                other => unreachable!("{other:?} is no part of a sequence"),
            }
        }
        Ok(sequence)
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the other rules are no parts of a step")]
    fn step(&mut self, pair: Pair<'t>, place: &str) -> Lowered<Step> {
        self.note(place, &pair);
        let mut parts = parts(pair);
        let event_place = join(place, "event");
        let event = self.pattern(next(&mut parts), &event_place)?;
        let mut step = Step { event, within: None, without: None };
        for part in parts {
            match part.as_rule() {
                Rule::filter => self.qualify(&mut step.event, part, &event_place)?,
                Rule::lasting => step.within = Some(self.lasting(part)?),
                Rule::without => {
                    let mut parts = self::parts(part);
                    step.without = Some(self.qualified(&mut parts, &join(place, "without"))?);
                }
                other => unreachable!("{other:?} is no part of a step"),
            }
        }
        Ok(step)
    }

    fn comparison(&mut self, pair: Pair<'t>, place: &str) -> Lowered<Comparison> {
        let spot = if pair.as_rule() == Rule::event_comparison { Spot::Event } else { Spot::Profile };
        self.note(place, &pair);
        let mut parts = parts(pair);
        let left = self.operand(only(next(&mut parts)), &join(place, "left"), spot)?;
        let operator = next(&mut parts);
        self.note(&join(place, "operator"), &operator);
        let operator = words::operator(operator.as_str()).expect("the grammar lists the operators");
        let right = match parts.next() {
            Some(right) => self.right(only(right), &join(place, "right"))?,
            None => Right::Nothing,
        };
        Ok(Comparison { left, operator, right })
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "every other rule is that of a field")]
    fn operand(&mut self, pair: Pair<'t>, place: &str, spot: Spot) -> Lowered<Operand> {
        self.note(place, &pair);
        Ok(match pair.as_rule() {
            Rule::aggregate => Operand::Aggregate(Box::new(self.aggregate(pair, &join(place, "aggregate"))?)),
            Rule::trait_dotted => {
                let (_, names) = pair.as_str().split_once('.').expect("the grammar demands a dot");
                Operand::Trait(self.path(&pair, FieldPath::new(names.split('.')))?)
            }
            Rule::trait_quoted => Operand::Trait(self.quoted_path(only(pair))?),
            Rule::computed_dotted => {
                let (_, key) = pair.as_str().split_once('.').expect("the grammar demands a dot");
                if let Some((key, _)) = key.split_once('.') {
                    let hint = format!("write `computed.{key}`");
                    let message = "a computed trait has no parts".to_owned();
                    return Err(self.refuse(&pair, (message, Some(hint))));
                }
                Operand::Computed(key.to_owned())
            }
            Rule::computed_quoted => Operand::Computed(self.string(&only(pair))?),
            _ => Operand::Field(self.field(&pair, spot)?),
        })
    }

    /// A field of an event: `field("…")`, or a path that begins as one.
    fn field(&self, pair: &Pair<'t>, spot: Spot) -> Lowered<FieldPath> {
        if pair.as_rule() == Rule::field_quoted {
            return self.quoted_path(only(pair.clone()));
        }
        let path = pair.as_str();
        let head = path.split('.').next().unwrap_or(path);
        let is_profile = head == words::PROFILE && matches!(spot, Spot::Event | Spot::Right);
        let is_trait = pair.as_rule() == Rule::trait_dotted && head == "traits";
        if words::is_event_field(head) || is_profile || is_trait {
            return self.path(pair, FieldPath::new(path.split('.')));
        }
        Err(self.refuse(pair, diagnose::unknown(path, spot)))
    }

    fn quoted_path(&self, pair: Pair<'t>) -> Lowered<FieldPath> {
        let text = self.string(&pair)?;
        self.path(&pair, text.parse())
    }

    fn path<E: std::fmt::Display>(&self, pair: &Pair<'t>, path: Result<FieldPath, E>) -> Lowered<FieldPath> {
        path.map_err(|why| self.refuse(pair, (why.to_string(), None)))
    }

    fn right(&mut self, pair: Pair<'t>, place: &str) -> Lowered<Right> {
        self.note(place, &pair);
        if pair.as_rule() == Rule::list {
            let list = join(place, "values");
            let literals = parts(pair).enumerate().map(|(at, element)| {
                let element = only(element);
                self.note(&format!("{list}[{at}]"), &element);
                self.literal(&element)
            });
            return Ok(Right::Values(literals.collect::<Lowered<_>>()?));
        }
        if pair.as_rule() == Rule::quantity {
            let quantity = words::quantity(pair.as_str()).map_err(|wrong| self.refuse(&pair, wrong))?;
            return Ok(match quantity {
                Quantity::Number(number) => Right::Value(Literal::Number(number)),
                Quantity::Span(span) => Right::Span(span),
            });
        }
        if [Rule::string, Rule::boolean, Rule::null].contains(&pair.as_rule()) {
            return Ok(Right::Value(self.literal(&pair)?));
        }
        Ok(Right::Operand(self.operand(pair, &join(place, "operand"), Spot::Right)?))
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the only other rule is that of a path")]
    fn literal(&self, pair: &Pair<'t>) -> Lowered<Literal> {
        let text = pair.as_str();
        Ok(match pair.as_rule() {
            Rule::null => Literal::Null,
            Rule::boolean => Literal::Bool(text.eq_ignore_ascii_case("true")),
            Rule::string => Literal::Text(self.string(pair)?),
            Rule::quantity => match words::quantity(text).map_err(|wrong| self.refuse(pair, wrong))? {
                Quantity::Number(number) => Literal::Number(number),
                Quantity::Span(_) => {
                    let message = "a list holds no lengths of time".to_owned();
                    return Err(self.refuse(pair, (message, None)));
                }
            },
            _ => return Err(self.refuse(pair, diagnose::unknown(text, Spot::Right))),
        })
    }

    fn string(&self, pair: &Pair<'t>) -> Lowered<String> {
        words::unquote(pair.as_str()).map_err(|wrong| self.refuse(pair, wrong))
    }
}
