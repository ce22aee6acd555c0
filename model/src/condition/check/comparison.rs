//! Which comparisons can hold.
//!
//! What kinds of values an operand can have is known to some degree: a trait's may be of any JSON type, a count is a
//! number. A comparison that holds of no values of those kinds, or of all, is refused.

use super::{Check, Checked, Stand, VALUES_MAX};
use crate::condition::text::words::{function_name, operator_name};
use crate::condition::{Comparison, Function, Literal, Operand, Operator, Right};
use crate::pattern;
use crate::time::Timestamp;

/// Kinds of values, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kinds(u8);

impl Kinds {
    const NONE: Self = Self(0);
    const NULL: Self = Self(1);
    const BOOL: Self = Self(2);
    const NUMBER: Self = Self(4);
    const TEXT: Self = Self(8);
    const LIST: Self = Self(16);
    const SPAN: Self = Self(32);
    const SCALAR: Self = Self(2 | 4 | 8);
    /// All but lengths of time, objects (64) too.
    const JSON: Self = Self(1 | 2 | 4 | 8 | 16 | 64);
    const ANY: Self = Self(127);

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    const fn overlaps(self, other: Self) -> bool {
        self.both(other).0 != 0
    }

    fn of(operand: &Operand) -> Self {
        match operand {
            Operand::Trait(_) | Operand::Field(_) => Self::JSON,
            Operand::Computed(_) => Self::ANY,
            Operand::Aggregate(aggregate) => match aggregate.function {
                Function::Count | Function::UniqueCount => Self::NUMBER,
                Function::Sum | Function::Average | Function::Min | Function::Max => {
                    Self::NUMBER.or(Self::NULL)
                }
                Function::First | Function::Last | Function::MostFrequent => Self::JSON,
                Function::UniqueList => Self::LIST,
                Function::TimeSince => Self::SPAN.or(Self::NULL),
            },
        }
    }

    const fn of_literal(literal: &Literal) -> Self {
        match literal {
            Literal::Null => Self::NULL,
            Literal::Bool(_) => Self::BOOL,
            Literal::Number(_) => Self::NUMBER,
            Literal::Text(_) => Self::TEXT,
        }
    }

    /// In words, of kinds that stand alone or with null.
    const fn name(self) -> &'static str {
        match self.0 & !Self::NULL.0 {
            0 => "null",
            2 => "true or false",
            4 => "a number",
            8 => "text",
            16 => "a list",
            32 => "a length of time",
            _ => "any value",
        }
    }
}

fn named(operand: &Operand) -> String {
    match operand {
        Operand::Trait(_) => "a trait".to_owned(),
        Operand::Computed(_) => "a computed trait".to_owned(),
        Operand::Field(_) => "a field".to_owned(),
        Operand::Aggregate(aggregate) => format!("`{}`", function_name(aggregate.function)),
    }
}

/// A comparison of which both sides are allowed where they stand.
struct Sides<'a> {
    left: &'a Operand,
    kinds: Kinds,
    operator: Operator,
    right: &'a Right,
}

impl Check {
    pub(super) fn comparison(&mut self, comparison: &Comparison, stand: Stand, depth: usize) -> Checked {
        let Comparison { left, operator, right } = comparison;
        self.at("left", |check| check.operand(left, stand, depth))?;
        if let Right::Operand(operand) = right {
            self.at("right.operand", |check| check.operand(operand, stand, depth))?;
        }
        let sides = Sides { left, kinds: Kinds::of(left), operator: *operator, right };
        self.at_right(right, |check| check.sides(&sides))?;
        self.at("operator", |check| check.whenever(*operator, stand))
    }

    /// What is said of an event holds of it whenever it is asked: it does not change as time goes by.
    fn whenever(&self, operator: Operator, stand: Stand) -> Checked {
        let is_around_now = matches!(
            operator,
            Operator::WithinLast | Operator::WithinNext | Operator::BeforeLast | Operator::AfterNext
        );
        if is_around_now && matches!(stand, Stand::Where | Stand::Event) {
            let message = format!("`{}` depends on the present, an event does not", operator_name(operator));
            let hint = "compare with a date: `after_date \"2026-01-31\"`".to_owned();
            return Err(self.refuse(message).hinted(hint));
        }
        Ok(())
    }

    /// Errors about how the sides fit have the place of the right one, or of the operator if there is none.
    fn at_right(&mut self, right: &Right, look: impl FnOnce(&mut Self) -> Checked) -> Checked {
        let place = match right {
            Right::Nothing => "operator",
            Right::Value(_) => "right.value",
            Right::Values(_) => "right.values",
            Right::Operand(_) => "right.operand",
            Right::Span(_) => "right.span",
        };
        self.at(place, look)
    }

    fn sides(&mut self, sides: &Sides<'_>) -> Checked {
        match sides.operator {
            Operator::Equals | Operator::NotEquals => self.one(sides, Kinds::ANY.without(Kinds::SPAN)),
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
                self.one(sides, Kinds::NUMBER.or(Kinds::TEXT).or(Kinds::SPAN))
            }
            Operator::OneOf | Operator::NoneOf => self.many(sides),
            Operator::Contains | Operator::NotContains => self.contained(sides),
            Operator::ContainsAny => self.contained_any(sides),
            Operator::StartsWith | Operator::EndsWith => {
                self.one(sides, Kinds::TEXT)?;
                self.some_text(sides.right)
            }
            Operator::Matches => self.matched(sides),
            Operator::Exists | Operator::Absent => self.there_or_not(sides),
            Operator::BeforeDate | Operator::AfterDate => self.dated(sides),
            Operator::WithinLast | Operator::WithinNext | Operator::BeforeLast | Operator::AfterNext => {
                self.around_now(sides)
            }
        }
    }

    /// One value, of the same kind at both sides, of those that the operator compares.
    fn one(&self, sides: &Sides<'_>, compared: Kinds) -> Checked {
        let operator = operator_name(sides.operator);
        let (right, name) = match sides.right {
            Right::Nothing => return Err(self.needs_value(operator)),
            Right::Values(_) => {
                return Err(self
                    .refuse(format!("`{operator}` compares with one value, not with a list"))
                    .hinted("did you mean `in`".to_owned()));
            }
            Right::Span(_) => (Kinds::SPAN, Kinds::SPAN.name().to_owned()),
            Right::Value(literal) => {
                (Kinds::of_literal(literal), Kinds::of_literal(literal).name().to_owned())
            }
            Right::Operand(operand) => (Kinds::of(operand), named(operand)),
        };
        let common = sides.kinds.both(right).both(compared);
        // That both may be missing is not enough.
        let common = if right == Kinds::NULL { common } else { common.without(Kinds::NULL) };
        if common != Kinds::NONE {
            return Ok(());
        }
        let message = format!("`{operator}` does not compare {} with {name}", described(sides));
        Err(self.refuse(message).hinted(advice(sides, right)))
    }

    fn needs_value(&self, operator: &str) -> super::ConditionError {
        self.refuse(format!("`{operator}` needs something to compare with"))
    }

    fn many(&mut self, sides: &Sides<'_>) -> Checked {
        let operator = operator_name(sides.operator);
        if let Right::Operand(operand) = sides.right {
            return self.list_of(operand, operator);
        }
        self.list(sides, |literal| {
            if sides.kinds.overlaps(Kinds::of_literal(literal)) {
                return Ok(());
            }
            let what = Kinds::of_literal(literal).name();
            Err(format!("`{operator}` does not compare {} with {what}", described(sides)))
        })
    }

    /// Another operand instead of a list.
    fn list_of(&self, operand: &Operand, operator: &str) -> Checked {
        if Kinds::of(operand).overlaps(Kinds::LIST) {
            return Ok(());
        }
        Err(self.refuse(format!("`{operator}` needs a list; {} is none", named(operand))))
    }

    /// A list at the right, of which each value fits.
    fn list(&mut self, sides: &Sides<'_>, fits: impl Fn(&Literal) -> Result<(), String>) -> Checked {
        let operator = operator_name(sides.operator);
        let Right::Values(literals) = sides.right else {
            let hint = format!("write `{operator} (\"…\", \"…\")`");
            return Err(self.refuse(format!("`{operator}` needs a list of values")).hinted(hint));
        };
        if literals.is_empty() {
            return Err(self.refuse("the list is empty").hinted("write at least one value".to_owned()));
        }
        if literals.len() > VALUES_MAX {
            return Err(self.refuse(format!("has {} values; the limit is {VALUES_MAX}", literals.len())));
        }
        literals.iter().enumerate().try_for_each(|(index, literal)| {
            self.at(&format!("[{index}]"), |check| fits(literal).map_err(|message| check.refuse(message)))
        })
    }

    fn contained(&self, sides: &Sides<'_>) -> Checked {
        self.has_parts(sides)?;
        let operator = operator_name(sides.operator);
        match sides.right {
            Right::Value(literal) => is_part(literal).map_err(|message| self.refuse(message)),
            Right::Operand(operand) if Kinds::of(operand).overlaps(Kinds::SCALAR) => Ok(()),
            Right::Values(_) => Err(self
                .refuse(format!("`{operator}` looks for one value"))
                .hinted("did you mean `contains_any`".to_owned())),
            Right::Operand(_) | Right::Span(_) => {
                Err(self.refuse(format!("`{operator}` looks for text, a number, true or false")))
            }
            Right::Nothing => Err(self.needs_value(operator)),
        }
    }

    fn contained_any(&mut self, sides: &Sides<'_>) -> Checked {
        self.has_parts(sides)?;
        match sides.right {
            Right::Operand(operand) => self.list_of(operand, operator_name(sides.operator)),
            Right::Nothing | Right::Value(_) | Right::Values(_) | Right::Span(_) => self.list(sides, is_part),
        }
    }

    fn has_parts(&self, sides: &Sides<'_>) -> Checked {
        if sides.kinds.overlaps(Kinds::TEXT.or(Kinds::LIST)) {
            return Ok(());
        }
        let operator = operator_name(sides.operator);
        let left = named(sides.left);
        Err(self.refuse(format!("`{operator}` looks into texts and lists; {left} is {}", sides.kinds.name())))
    }

    fn some_text(&self, right: &Right) -> Checked {
        match right {
            Right::Value(Literal::Text(text)) if text.is_empty() => {
                Err(self.refuse("is empty: every text begins and ends with it"))
            }
            Right::Nothing | Right::Value(_) | Right::Values(_) | Right::Operand(_) | Right::Span(_) => {
                Ok(())
            }
        }
    }

    fn matched(&self, sides: &Sides<'_>) -> Checked {
        self.one(sides, Kinds::TEXT)?;
        let Right::Value(Literal::Text(text)) = sides.right else {
            return Err(self.refuse("a regular expression stands in quotes; it is not read from elsewhere"));
        };
        if text.is_empty() {
            return Err(self.refuse("is empty: every text matches it"));
        }
        pattern::compile(text).map(drop).map_err(|message| self.refuse(message))
    }

    fn there_or_not(&self, sides: &Sides<'_>) -> Checked {
        let operator = operator_name(sides.operator);
        if !sides.right.is_nothing() {
            return Err(self.refuse(format!("`{operator}` compares with nothing")));
        }
        if !sides.kinds.overlaps(Kinds::NULL) {
            let is_list = sides.kinds.overlaps(Kinds::LIST);
            let hint = if is_list { "count it: `unique_count(…) > 0`" } else { "compare it with 0" };
            let message = format!("{} is never missing", named(sides.left));
            return Err(self.refuse(message).hinted(hint.to_owned()));
        }
        Ok(())
    }

    fn dated(&self, sides: &Sides<'_>) -> Checked {
        self.has_dates(sides)?;
        self.one(sides, Kinds::TEXT)?;
        let Right::Value(Literal::Text(text)) = sides.right else { return Ok(()) };
        if Timestamp::parse(text).is_none() {
            let hint = r#"write a date, "2026-01-31", or a moment, "2026-01-31T12:00:00Z""#;
            return Err(self.refuse("this text is no date").hinted(hint.to_owned()));
        }
        Ok(())
    }

    fn has_dates(&self, sides: &Sides<'_>) -> Checked {
        if sides.kinds.overlaps(Kinds::TEXT) {
            return Ok(());
        }
        let operator = operator_name(sides.operator);
        let message = format!("`{operator}` looks at dates; {} is {}", named(sides.left), sides.kinds.name());
        let hint = sides.kinds.overlaps(Kinds::SPAN).then(|| "compare it by `<` or `>`: `< 7d`".to_owned());
        Err(self.refuse(message).hinted(hint))
    }

    fn around_now(&self, sides: &Sides<'_>) -> Checked {
        self.has_dates(sides)?;
        match sides.right {
            Right::Span(_) => Ok(()),
            Right::Nothing | Right::Value(_) | Right::Values(_) | Right::Operand(_) => {
                let operator = operator_name(sides.operator);
                let message = format!("`{operator}` needs a length of time");
                Err(self.refuse(message).hinted(format!("write `{operator} 30d`")))
            }
        }
    }
}

/// What stands at the left, and of which kind it is if that is known.
fn described(sides: &Sides<'_>) -> String {
    let name = named(sides.left);
    match sides.left {
        Operand::Aggregate(_) if sides.kinds != Kinds::JSON => {
            format!("{name}, which is {},", sides.kinds.name())
        }
        Operand::Aggregate(_) | Operand::Trait(_) | Operand::Computed(_) | Operand::Field(_) => name,
    }
}

/// Whether a text or a list may contain it.
fn is_part(literal: &Literal) -> Result<(), String> {
    match literal {
        Literal::Null => Err("nothing contains null".to_owned()),
        Literal::Text(text) if text.is_empty() => Err("is empty: every text contains it".to_owned()),
        Literal::Bool(_) | Literal::Number(_) | Literal::Text(_) => Ok(()),
    }
}

/// What to write instead of a comparison that makes no sense.
fn advice(sides: &Sides<'_>, right: Kinds) -> Option<String> {
    let equals = matches!(sides.operator, Operator::Equals | Operator::NotEquals);
    let advice = if equals && right.overlaps(Kinds::SPAN) {
        "time goes on: compare lengths of it by `<` or `>`"
    } else if sides.kinds.overlaps(Kinds::SPAN) && right == Kinds::NUMBER {
        "write a unit: `7d`"
    } else if sides.kinds == Kinds::JSON && right == Kinds::SPAN {
        "for dates write `within_last` or `before_last`"
    } else if sides.kinds == Kinds::LIST {
        "did you mean `contains`"
    } else if right == Kinds::NULL && sides.kinds.overlaps(Kinds::NULL) {
        "write `exists` or `absent`"
    } else if right == Kinds::BOOL && !equals && sides.kinds.overlaps(Kinds::BOOL) {
        "did you mean `=`"
    } else {
        return None;
    };
    Some(advice.to_owned())
}
