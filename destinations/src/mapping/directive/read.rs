//! Reading directives, and what is wrong with them.

use super::super::DirectiveError;
use super::super::path::Path;
use super::super::template::Template;
use super::{Case, Direction, If, Lists, Node, Replace, Test, Times};
use crate::definition::{Escaping, RawSettings, SettingKind, Spec};
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value as Json};
use tributary_model::condition::nearest;

/// The limit on the JSON text of a field's directives, in bytes.
const BYTES_MAX: usize = 64 << 10;
/// The limit on how deep they lie within each other.
const DEPTH_MAX: usize = 20;
/// The limit on how many directives, and objects and lists with directives in them, there are.
const NODES_MAX: usize = 500;
/// The limit on a text that `@replace` looks for, in characters.
const PATTERN_CHARACTERS_MAX: usize = 10;
/// The limit on what it puts there, in characters.
const REPLACEMENT_CHARACTERS_MAX: usize = 10;
/// The limit on what `@flatten` puts between names, in characters.
const SEPARATOR_CHARACTERS_MAX: usize = 10;

/// Every directive.
const DIRECTIVES: [&str; 13] = [
    "@path",
    "@template",
    "@literal",
    "@if",
    "@case",
    "@replace",
    "@arrayPath",
    "@flatten",
    "@json",
    "@merge",
    "@transform",
    "@excludeWhenNull",
    "@setting",
];

/// The settings that `@setting` may name.
#[derive(Clone, Copy)]
pub(in super::super) struct Settings<'s> {
    pub(in super::super) spec: &'s Spec,
    pub(in super::super) given: &'s RawSettings,
}

impl<'s> Settings<'s> {
    /// What counts for a setting; `None` if nothing was given and there is no default.
    pub(in super::super) fn value(&self, name: &str) -> Option<&'s Json> {
        let given = self.given.get(name).filter(|value| !value.is_null());
        let default = || self.spec.setting(name)?.default.as_ref().filter(|value| !value.is_null());
        given.or_else(default)
    }

    /// Whether something was given for a setting.
    pub(in super::super) fn is_given(&self, name: &str) -> bool {
        self.given.get(name).is_some_and(|value| !value.is_null())
    }
}

/// Reads a directive with everything in it, whose templates escape in that way.
pub(super) fn read(
    json: &Json,
    settings: Option<Settings<'_>>,
    escape: Option<Escaping>,
) -> Result<Node, DirectiveError> {
    let mut reader = Reader { settings, escape, place: String::new(), depth: 0, nodes: 0 };
    let bytes = json.to_string().len();
    if bytes > BYTES_MAX {
        return Err(reader.error(format!("has {bytes} bytes of JSON; the limit is {BYTES_MAX}")));
    }
    reader.node(json)
}

struct Reader<'s> {
    settings: Option<Settings<'s>>,
    /// How templates write what they put in.
    escape: Option<Escaping>,
    /// Where it reads.
    place: String,
    depth: usize,
    nodes: usize,
}

/// How a node is made of another one.
type Around = fn(Box<Node>) -> Node;

type Read<T> = Result<T, DirectiveError>;

impl Reader<'_> {
    fn error(&self, message: impl Into<String>) -> DirectiveError {
        DirectiveError { place: self.place.clone(), message: message.into() }
    }

    /// Reads something that stands under that name.
    fn at<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        let length = self.place.len();
        if !self.place.is_empty() {
            self.place.push('.');
        }
        self.place.push_str(name);
        let result = read(self);
        self.place.truncate(length);
        result
    }

    /// Reads something that stands in a list.
    fn at_index<T>(&mut self, index: usize, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        let length = self.place.len();
        self.place.push_str(&format!("[{index}]"));
        let result = read(self);
        self.place.truncate(length);
        result
    }

    fn node(&mut self, json: &Json) -> Read<Node> {
        if !has_directive(json) {
            return Ok(literal(json));
        }
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(self
                .error(format!("there are more than {NODES_MAX} directives; the limit is for each field")));
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error(format!("lies more than {DEPTH_MAX} deep")));
        }
        let node = match json {
            Json::Object(members) => self.object(members)?,
            Json::Array(items) => Node::List(self.nodes(items)?),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => literal(json),
        };
        self.depth -= 1;
        Ok(node)
    }

    fn nodes(&mut self, items: &[Json]) -> Read<Vec<Node>> {
        let mut nodes = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            nodes.push(self.at_index(index, |reader| reader.node(item))?);
        }
        Ok(nodes)
    }

    fn boxed(&mut self, json: &Json) -> Read<Box<Node>> {
        self.node(json).map(Box::new)
    }

    fn object(&mut self, members: &Map<String, Json>) -> Read<Node> {
        if let Some((name, argument)) = members.iter().find(|(name, _)| name.starts_with('@')) {
            if members.len() > 1 {
                return Err(self.error(format!(
                    "mixes {name} with other members; a directive stands alone in its object"
                )));
            }
            return self.at(name, |reader| reader.directive(name, argument));
        }
        let mut nodes = Vec::with_capacity(members.len());
        for (name, value) in members {
            nodes.push((name.as_str().into(), self.at(name, |reader| reader.node(value))?));
        }
        Ok(Node::Map(nodes))
    }

    fn directive(&mut self, name: &str, argument: &Json) -> Read<Node> {
        match name {
            "@path" => self.path(argument),
            "@template" => self.template(argument),
            "@literal" => Ok(literal(argument)),
            "@if" => self.choice(argument),
            "@case" => self.case(argument),
            "@replace" => self.replace(argument),
            "@arrayPath" => self.array_path(argument),
            "@flatten" => self.flatten(argument),
            "@json" => self.json(argument),
            "@merge" => self.merge(argument),
            "@transform" => {
                let arguments = self.arguments(argument, &["apply", "mapping"], &["apply", "mapping"])?;
                let apply = self.required(arguments, "apply")?;
                let mapping = self.required(arguments, "mapping")?;
                Ok(Node::Transform { apply: Box::new(apply), mapping: Box::new(mapping) })
            }
            "@excludeWhenNull" => self.boxed(argument).map(Node::ExcludeWhenNull),
            "@setting" => self.setting(argument),
            _ => Err(self.error(unknown(name))),
        }
    }

    fn path(&self, argument: &Json) -> Read<Node> {
        let Json::String(text) = argument else {
            return Err(self.error("takes a path as text, such as \"$.properties.total\""));
        };
        Path::parse(text).map(Node::Path).map_err(|problem| self.error(problem))
    }

    fn template(&self, argument: &Json) -> Read<Node> {
        let Json::String(text) = argument else {
            return Err(self.error("takes a text, such as \"{{properties.total}} EUR\""));
        };
        Template::parse_escaping(text, self.escape).map(Node::Template).map_err(|problem| self.error(problem))
    }

    fn choice(&mut self, argument: &Json) -> Read<Node> {
        let arguments = self.arguments(argument, &["exists", "blank", "then", "else"], &[])?;
        let (test, name) = match (arguments.contains_key("exists"), arguments.contains_key("blank")) {
            (true, false) => (Test::Exists, "exists"),
            (false, true) => (Test::Blank, "blank"),
            (_, _) => return Err(self.error("takes either `exists` or `blank`")),
        };
        let value = self.required(arguments, name)?;
        let then = self.optional(arguments, "then")?;
        let otherwise = self.optional(arguments, "else")?;
        if then.is_none() && otherwise.is_none() {
            return Err(self.error("takes `then`, or `else`, or both"));
        }
        Ok(Node::If(Box::new(If { test, value, then, otherwise })))
    }

    fn case(&mut self, argument: &Json) -> Read<Node> {
        let arguments = self.arguments(argument, &["operator", "value"], &["operator", "value"])?;
        let choices = [("lower", Case::Lower), ("upper", Case::Upper)];
        let case = self.choose(arguments, "operator", &choices)?;
        Ok(Node::Case(case, Box::new(self.required(arguments, "value")?)))
    }

    fn replace(&mut self, argument: &Json) -> Read<Node> {
        let known = ["pattern", "replacement", "pattern2", "replacement2", "ignorecase", "global", "value"];
        let arguments = self.arguments(argument, &known, &["pattern", "value"])?;
        let ignores_case = self.switch(arguments, "ignorecase")?.unwrap_or(false);
        let times = match self.switch(arguments, "global")? {
            Some(false) => Times::Once,
            Some(true) | None => Times::Always,
        };
        if arguments.contains_key("replacement2") && !arguments.contains_key("pattern2") {
            return Err(self.error("has `replacement2` without `pattern2`"));
        }
        let mut steps = Vec::new();
        for (pattern, replacement) in [("pattern", "replacement"), ("pattern2", "replacement2")] {
            let Some(looked_for) = self.short_text(arguments, pattern, PATTERN_CHARACTERS_MAX)? else {
                continue;
            };
            if looked_for.is_empty() {
                return self.at(pattern, |reader| Err(reader.error("is empty")));
            }
            let put =
                self.short_text(arguments, replacement, REPLACEMENT_CHARACTERS_MAX)?.unwrap_or_default();
            steps.push((plain_pattern(looked_for, ignores_case), put.into()));
        }
        let value = self.required(arguments, "value")?;
        Ok(Node::Replace(Box::new(Replace { value, steps, times })))
    }

    fn array_path(&mut self, argument: &Json) -> Read<Node> {
        let (list, shape) = match argument.as_array().map(Vec::as_slice) {
            Some([list]) => (list, None),
            Some([list, shape]) => (list, Some(shape)),
            Some(_) | None => {
                return Err(self.error(
                    "takes a list of a path and, if its members are to be changed, a shape: \
                     [\"$.properties.products\", {\"id\": {\"@path\": \"$.product_id\"}}]",
                ));
            }
        };
        let list = self.at_index(0, |reader| match list {
            Json::String(_) => reader.path(list),
            Json::Object(_) => reader.node(list),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) => {
                Err(reader.error("takes a path, or a directive that gives a list"))
            }
        })?;
        let shape = match shape {
            Some(shape) => Some(self.at_index(1, |reader| reader.boxed(shape))?),
            None => None,
        };
        Ok(Node::ArrayPath { list: Box::new(list), shape })
    }

    fn flatten(&mut self, argument: &Json) -> Read<Node> {
        let known = ["value", "separator", "omitArrays"];
        let arguments = self.arguments(argument, &known, &["value", "separator"])?;
        let separator =
            self.short_text(arguments, "separator", SEPARATOR_CHARACTERS_MAX)?.unwrap_or_default();
        let lists = match self.switch(arguments, "omitArrays")? {
            Some(true) => Lists::Keep,
            Some(false) | None => Lists::Flatten,
        };
        let value = self.required(arguments, "value")?;
        Ok(Node::Flatten { value: Box::new(value), separator: separator.into(), lists })
    }

    fn json(&mut self, argument: &Json) -> Read<Node> {
        let arguments = self.arguments(argument, &["mode", "value"], &["mode", "value"])?;
        let choices: [(&str, Around); 2] = [("encode", Node::Encode), ("decode", Node::Decode)];
        let make = self.choose(arguments, "mode", &choices)?;
        Ok(make(Box::new(self.required(arguments, "value")?)))
    }

    fn merge(&mut self, argument: &Json) -> Read<Node> {
        let known = ["objects", "direction"];
        let arguments = self.arguments(argument, &known, &known)?;
        let choices = [("left", Direction::Left), ("right", Direction::Right)];
        let direction = self.choose(arguments, "direction", &choices)?;
        let objects = self.at("objects", |reader| match arguments.get("objects") {
            Some(Json::Array(objects)) => reader.nodes(objects),
            Some(_) | None => Err(reader.error("takes a list of directives that give objects")),
        })?;
        Ok(Node::Merge { objects, direction })
    }

    fn setting(&self, argument: &Json) -> Read<Node> {
        let Json::String(name) = argument else {
            return Err(self.error("takes the name of a setting as text"));
        };
        let Some(settings) = self.settings else {
            return Err(self.error("names a setting where there are none"));
        };
        let Some(setting) = settings.spec.setting(name) else {
            let open = settings.spec.settings.iter().filter(|setting| !setting.secret);
            let open: Vec<&str> = open.map(|setting| setting.name.as_str()).collect();
            return Err(self.error(match nearest(name, open.iter().copied()) {
                Some(near) => format!("there is no setting `{name}`; did you mean `{near}`?"),
                None => format!("there is no setting `{name}`; there are {}", open.join(", ")),
            }));
        };
        if setting.secret {
            return Err(self.error(format!("the setting `{name}` is secret and can't be sent as a value")));
        }
        match (settings.value(name), setting.kind) {
            (None, _) => Ok(Node::Nothing),
            (Some(value), SettingKind::Template) => self.template(value),
            (Some(value), _) => Ok(literal(value)),
        }
    }

    /// The arguments of a directive that takes several by name.
    fn arguments<'j>(
        &self,
        argument: &'j Json,
        known: &[&'static str],
        required: &[&str],
    ) -> Read<&'j Map<String, Json>> {
        let Json::Object(arguments) = argument else {
            return Err(self.error(format!("takes an object with {}", listed(known))));
        };
        if let Some(odd) = arguments.keys().find(|name| !known.contains(&name.as_str())) {
            let advice = match nearest(odd, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", listed(known)),
            };
            return Err(self.error(format!("does not take `{odd}`; {advice}")));
        }
        match required.iter().find(|name| !arguments.contains_key(**name)) {
            Some(missing) => Err(self.error(format!("lacks `{missing}`"))),
            None => Ok(arguments),
        }
    }

    fn optional(&mut self, arguments: &Map<String, Json>, name: &str) -> Read<Option<Node>> {
        match arguments.get(name) {
            Some(value) => self.at(name, |reader| reader.node(value)).map(Some),
            None => Ok(None),
        }
    }

    fn required(&mut self, arguments: &Map<String, Json>, name: &str) -> Read<Node> {
        Ok(self.optional(arguments, name)?.unwrap_or(Node::Nothing))
    }

    fn choose<T: Copy>(
        &mut self,
        arguments: &Map<String, Json>,
        name: &str,
        choices: &[(&str, T)],
    ) -> Read<T> {
        let said = arguments.get(name).and_then(Json::as_str);
        let choice = choices.iter().find(|(choice, _)| said == Some(*choice));
        let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
        self.at(name, |reader| match choice {
            Some((_, choice)) => Ok(*choice),
            None => Err(reader.error(format!("takes {}", names.join(" or ")))),
        })
    }

    fn switch(&mut self, arguments: &Map<String, Json>, name: &str) -> Read<Option<bool>> {
        let value = arguments.get(name).filter(|value| !value.is_null());
        self.at(name, |reader| match value {
            None => Ok(None),
            Some(Json::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(reader.error("takes true or false")),
        })
    }

    fn short_text<'j>(
        &mut self,
        arguments: &'j Map<String, Json>,
        name: &str,
        characters_max: usize,
    ) -> Read<Option<&'j str>> {
        let value = arguments.get(name).filter(|value| !value.is_null());
        self.at(name, |reader| match value {
            None => Ok(None),
            Some(Json::String(text)) if text.chars().count() <= characters_max => Ok(Some(text.as_str())),
            Some(_) => Err(reader.error(format!("takes a text of at most {characters_max} characters"))),
        })
    }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn unknown(name: &str) -> String {
    let advice = match nearest(name, DIRECTIVES.into_iter()) {
        None if name == "@liquid" => "use @template".to_owned(),
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are {}", DIRECTIVES.join(", ")),
    };
    format!("is no directive ({advice}); a value that has such a member as it stands goes into @literal")
}

fn literal(json: &Json) -> Node {
    Node::Literal(json.to_string().into())
}

/// Whether there is a directive in it, or something that looks like one.
fn has_directive(json: &Json) -> bool {
    match json {
        Json::Object(members) => {
            members.iter().any(|(name, value)| name.starts_with('@') || has_directive(value))
        }
        Json::Array(items) => items.iter().any(has_directive),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    }
}

/// A pattern that finds just that text.
fn plain_pattern(text: &str, ignores_case: bool) -> Regex {
    let pattern = regex::escape(text);
    RegexBuilder::new(&pattern)
        .case_insensitive(ignores_case)
        .build()
        .expect("a few plain characters are a pattern")
}
