//! Texts with places in them that are filled from the event: `{{properties.total}}`.
//!
//! The library reads them. What consists of text and plain names only is filled here, straight from the event; the rest, with
//! blocks and helpers, by the library. Both fill in the same. What is put in is escaped only where the reader of the text asks
//! for that, and never what the author wrote, or put in with three braces.

mod blocks;

use super::path::{PathNames, names};
use super::read::{self, Shape};
use super::root::{Found, Root, Step};
use super::value::Value;
use crate::definition::Escaping;
use handlebars::template::{HelperTemplate, Parameter, TemplateElement};
use handlebars::{Path as NamePath, PathSeg};

/// The limit on the length of a template, in bytes.
pub(super) const TEMPLATE_BYTES_MAX: usize = 10_000;
/// The limit on the length of what comes out, in bytes.
pub(super) const RENDERED_BYTES_MAX: usize = 64 << 10;
/// The limit on how many places a template has.
const TAGS_MAX: usize = 200;
/// The limit on how many blocks and branches of blocks it has: the library calls itself for each within another.
const BLOCKS_MAX: usize = 20;
/// The limit on how many brackets of one kind it has: the library calls itself for each within another.
const BRACKETS_MAX: usize = 100;

/// A template, ready to be filled.
#[derive(Debug)]
pub(crate) struct Template {
    kind: Kind,
    escape: Option<Escaping>,
}

#[derive(Debug)]
enum Kind {
    Pieces(Vec<Piece>),
    Blocks(Box<handlebars::Template>),
}

#[derive(Debug)]
enum Piece {
    Text(Box<str>),
    /// What stands there, escaped if the template escapes.
    Place(Vec<Step>),
    /// What stands there, as it is.
    Bare(Vec<Step>),
}

impl Template {
    /// Reads a template that escapes nothing.
    ///
    /// # Errors
    /// What is wrong with it, to be read after its name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::parse_escaping(text, None)
    }

    /// Reads a template that escapes what it puts in.
    ///
    /// # Errors
    /// What is wrong with it, to be read after its name.
    pub(super) fn parse_escaping(text: &str, escape: Option<Escaping>) -> Result<Self, String> {
        let template = read_whole(text)?;
        let pieces: Option<Vec<Vec<Piece>>> = template.elements.iter().map(piece).collect();
        let kind = match pieces {
            Some(pieces) => Kind::Pieces(pieces.into_iter().flatten().collect()),
            None => Kind::Blocks(Box::new(template)),
        };
        Ok(Self { kind, escape })
    }

    /// The same, always filled by the library.
    #[cfg(test)]
    pub(super) fn parse_for_library(text: &str, escape: Option<Escaping>) -> Result<Self, String> {
        Ok(Self { kind: Kind::Blocks(Box::new(read_whole(text)?)), escape })
    }

    /// Fills it.
    ///
    /// # Errors
    /// Why that is not possible, to be read after its name.
    pub(crate) fn render(&self, root: &Root<'_>) -> Result<String, String> {
        let pieces = match &self.kind {
            Kind::Pieces(pieces) => pieces,
            Kind::Blocks(template) => return blocks::render(template, root, self.escape),
        };
        let mut out = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Place(steps) => {
                    if let Some(found) = root.find(steps) {
                        push_escaped(found, self.escape, &mut out);
                    }
                }
                Piece::Bare(steps) => {
                    if let Some(found) = root.find(steps) {
                        push(found, &mut out);
                    }
                }
            }
            if out.len() > RENDERED_BYTES_MAX {
                return Err(too_long());
            }
        }
        Ok(out)
    }

    /// Whether it gives the same for every event, as far as that can be told without blocks and helpers.
    pub(super) fn is_constant(&self) -> bool {
        match &self.kind {
            Kind::Pieces(pieces) => pieces.iter().all(|piece| matches!(piece, Piece::Text(_))),
            Kind::Blocks(_) => false,
        }
    }

    /// Shows every path in it, as far as it consists of names.
    pub(crate) fn paths(&self, look: &mut impl FnMut(&PathNames<'_>)) {
        match &self.kind {
            Kind::Pieces(pieces) => {
                for piece in pieces {
                    match piece {
                        Piece::Place(steps) | Piece::Bare(steps) => look(&names(steps)),
                        Piece::Text(_) => {}
                    }
                }
            }
            Kind::Blocks(template) => blocks::paths(template, look),
        }
    }
}

fn too_long() -> String {
    format!("gives more than {} KB", RENDERED_BYTES_MAX >> 10)
}

fn read_whole(text: &str) -> Result<handlebars::Template, String> {
    check_size(text)?;
    let template = handlebars::Template::compile(text).map_err(|error| {
        let at =
            error.pos().map(|(line, column)| format!(" (line {line}, column {column})")).unwrap_or_default();
        format!(
            "is no template{at}; a place looks like {{{{properties.total}}}}, a block like \
             {{{{#if properties.total}}}}…{{{{else}}}}…{{{{/if}}}}"
        )
    })?;
    blocks::check(&template)?;
    Ok(template)
}

/// Keeps away from the library what would take it too deep: it has no limits of its own.
fn check_size(text: &str) -> Result<(), String> {
    if text.len() > TEMPLATE_BYTES_MAX {
        return Err(format!("has {} bytes; the limit is {TEMPLATE_BYTES_MAX}", text.len()));
    }
    if text.contains("{{{{") {
        return Err("has four braces in a row, which is not supported".to_owned());
    }
    let count = |bracket: char| text.matches(bracket).count();
    let tags: Vec<&str> = text.split("{{").skip(1).collect();
    let is_block = |tag: &str| {
        let tag = tag.trim_start_matches(['{', '~', ' ', '\t', '\r', '\n']);
        tag.starts_with(['#', '^']) || tag.starts_with("else")
    };
    let braces = count('{') - 2 * tags.len();
    let limits = [
        (tags.len(), TAGS_MAX, "places"),
        (
            tags.iter().copied().filter(|tag| is_block(tag)).count(),
            BLOCKS_MAX,
            "blocks and branches of blocks",
        ),
        (count('('), BRACKETS_MAX, "opening parentheses"),
        (count('['), BRACKETS_MAX, "opening brackets"),
        (braces, BRACKETS_MAX, "opening braces besides those of places"),
    ];
    match limits.into_iter().find(|(have, most, _)| have > most) {
        Some((have, most, what)) => Err(format!("has {have} {what}; the limit is {most}")),
        None => Ok(()),
    }
}

/// What an element is for the code that fills plain templates; `None` for one that only the library can fill.
fn piece(element: &TemplateElement) -> Option<Vec<Piece>> {
    if let TemplateElement::RawString(text) = element {
        return Some(vec![Piece::Text(text.as_str().into())]);
    }
    if let TemplateElement::Comment(_) = element {
        return Some(Vec::new());
    }
    if let TemplateElement::HtmlExpression(place) = element {
        return Some(vec![Piece::Bare(plain_steps(place)?)]);
    }
    let TemplateElement::Expression(place) = element else { return None };
    Some(vec![Piece::Place(plain_steps(place)?)])
}

/// The steps of an expression that is nothing but names.
fn plain_steps(expression: &HelperTemplate) -> Option<Vec<Step>> {
    let NamePath::Relative((segments, _)) = plain_path(expression)? else { return None };
    segments.iter().map(step).collect()
}

/// The path of an expression that is nothing but a path.
fn plain_path(expression: &HelperTemplate) -> Option<&NamePath> {
    let is_plain = !expression.block && expression.params.is_empty() && expression.hash.is_empty();
    match (&expression.name, is_plain) {
        (Parameter::Path(path), true) => Some(path),
        (_, _) => None,
    }
}

fn step(segment: &PathSeg) -> Option<Step> {
    let PathSeg::Named(name) = segment else { return None };
    Some(match name.parse::<usize>() {
        Ok(index) => Step::Either(name.as_str().into(), index),
        Err(_) => Step::Name(name.as_str().into()),
    })
}

/// Writes a value as the library does where it escapes.
fn push_escaped(found: Found<'_, '_>, escape: Option<Escaping>, out: &mut String) {
    let Some(escape) = escape else { return push(found, out) };
    let mut text = String::new();
    push(found, &mut text);
    out.push_str(&escaped(&text, escape));
}

/// A text as it is written within another.
fn escaped(text: &str, escape: Escaping) -> String {
    match escape {
        // In one go: what an entity begins with is not escaped again.
        Escaping::HtmlEntities => {
            let mut out = String::with_capacity(text.len());
            for character in text.chars() {
                match character {
                    '&' => out.push_str("&amp;"),
                    '<' => out.push_str("&lt;"),
                    '>' => out.push_str("&gt;"),
                    other => out.push(other),
                }
            }
            out
        }
    }
}

/// Writes a value as the library does: nothing for null, texts as they are, lists in brackets.
fn push(found: Found<'_, '_>, out: &mut String) {
    match found.shape() {
        Shape::Null => {}
        Shape::Object => out.push_str("[object]"),
        Shape::Bool(_) | Shape::Number | Shape::Text => match found {
            Found::Raw(json) => push_scalar(json, out),
            Found::Made(value) => out.push_str(&value.text().unwrap_or_default()),
        },
        Shape::List => {
            let Value::List(items) = found.value().opened() else { return };
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                push(Found::Made(item), out);
            }
            out.push(']');
        }
    }
}

fn push_scalar(json: &str, out: &mut String) {
    if read::shape(json) == Shape::Text {
        out.push_str(&read::text(json));
    } else {
        out.push_str(json.trim_ascii());
    }
}
