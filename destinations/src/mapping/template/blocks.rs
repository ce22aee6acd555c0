//! Templates with blocks and helpers: which of them are taken, and how the library fills them.

use super::{Step, escaped, names, step, too_long};
use crate::definition::Escaping;
use crate::mapping::path::PathNames;
use crate::mapping::root::Root;
use handlebars::template::{HelperTemplate, Parameter, TemplateElement};
use handlebars::{
    Handlebars, Output, Path as NamePath, PathSeg, RenderContext, RenderErrorReason, Renderable,
};
use std::io;
use std::sync::LazyLock;
use tributary_model::condition::nearest;

/// Blocks. Each takes one value.
const BLOCKS: [&str; 4] = ["if", "unless", "each", "with"];

/// Helpers, and how many values each takes at least and at most.
const HELPERS: [(&str, usize, usize); 11] = [
    ("lookup", 2, 2),
    ("eq", 2, 2),
    ("ne", 2, 2),
    ("gt", 2, 2),
    ("gte", 2, 2),
    ("lt", 2, 2),
    ("lte", 2, 2),
    ("and", 1, 10),
    ("or", 1, 10),
    ("not", 1, 1),
    ("len", 1, 1),
];

/// Escapes nothing.
static PLAIN: LazyLock<Handlebars<'static>> = LazyLock::new(|| library(handlebars::no_escape));

/// Escapes what templates put in.
static HTML_ENTITIES: LazyLock<Handlebars<'static>> =
    LazyLock::new(|| library(|text| escaped(text, Escaping::HtmlEntities)));

fn library(escape: impl Fn(&str) -> String + Send + Sync + 'static) -> Handlebars<'static> {
    let mut library = Handlebars::new();
    library.register_escape_fn(escape);
    // What they are called may be a member's name.
    library.unregister_helper("log");
    library.unregister_helper("raw");
    library
}

/// What comes out, up to the limit.
struct Rendered(String);

impl Output for Rendered {
    fn write(&mut self, text: &str) -> io::Result<()> {
        if self.0.len() + text.len() > super::RENDERED_BYTES_MAX {
            return Err(io::Error::other("too long"));
        }
        self.0.push_str(text);
        Ok(())
    }
}

pub(super) fn render(
    template: &handlebars::Template,
    root: &Root<'_>,
    escape: Option<Escaping>,
) -> Result<String, String> {
    let library: &Handlebars<'static> = match escape {
        None => &PLAIN,
        Some(Escaping::HtmlEntities) => &HTML_ENTITIES,
    };
    let mut out = Rendered(String::new());
    let mut state = RenderContext::new(None);
    match template.render(library, root.context(), &mut state, &mut out) {
        Ok(()) => Ok(out.0),
        // The library's own words may hold values.
        Err(error) if matches!(error.reason(), RenderErrorReason::IOError(_)) => Err(too_long()),
        Err(error) if matches!(error.reason(), RenderErrorReason::InvalidJsonIndex(_)) => {
            Err("names a member of a list; write its index, such as {{properties.products.[0].name}}, or \
                 {{#each properties.products}}"
                .to_owned())
        }
        Err(_) => Err("can't be filled with this event".to_owned()),
    }
}

/// Where in a template something stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// In no loop.
    Nothing,
    /// In a loop over the members of something.
    Each,
}

/// Whether a template has only what is supported, so that filling it takes time in proportion to the event.
pub(super) fn check(template: &handlebars::Template) -> Result<(), String> {
    check_elements(template, Inside::Nothing)
}

fn check_elements(template: &handlebars::Template, inside: Inside) -> Result<(), String> {
    for element in &template.elements {
        if let TemplateElement::Expression(call) | TemplateElement::HtmlExpression(call) = element {
            check_expression(call)?;
        } else if let TemplateElement::HelperBlock(block) = element {
            check_block(block, inside)?;
        } else if !matches!(element, TemplateElement::RawString(_) | TemplateElement::Comment(_)) {
            return Err("has a partial or a decorator ({{>…}}, {{*…}}), which are not supported".to_owned());
        }
    }
    Ok(())
}

fn check_expression(call: &HelperTemplate) -> Result<(), String> {
    if let Parameter::Subexpression(_) = &call.name {
        return Err("has a helper in parentheses where a name or a helper is expected".to_owned());
    }
    let name = call.name.as_name().unwrap_or_default();
    if call.block_param.is_some() {
        return Err(no_block_parameters());
    }
    check_place(&call.name)?;
    let is_value = call.params.is_empty() && call.hash.is_empty();
    let helper = HELPERS.iter().find(|(have, _, _)| *have == name);
    match helper {
        None if is_value && !BLOCKS.contains(&name) => Ok(()),
        None if BLOCKS.contains(&name) => {
            Err(format!("has `{name}` without a `#`; a block looks like {{{{#{name} …}}}}…{{{{/{name}}}}}"))
        }
        None => Err(unknown(name, HELPERS.iter().map(|(have, _, _)| *have))),
        Some((_, least, most)) if !(*least..=*most).contains(&call.params.len()) => {
            Err(format!("gives `{name}` {} values; it takes {least}", call.params.len()))
        }
        Some(_) if !call.hash.is_empty() => {
            Err(format!("gives `{name}` a named value, which it does not take"))
        }
        Some(_) => call.params.iter().try_for_each(check_parameter),
    }
}

fn check_parameter(parameter: &Parameter) -> Result<(), String> {
    let Parameter::Subexpression(inner) = parameter else { return check_place(parameter) };
    let TemplateElement::Expression(call) = inner.as_element() else {
        return Err("has something in parentheses that is no helper".to_owned());
    };
    check_expression(call)
}

/// Refuses what is written as in `@path`: `$` would be a member of the event that none has.
fn check_place(parameter: &Parameter) -> Result<(), String> {
    let place = parameter.as_name().unwrap_or_default();
    match place.strip_prefix('$') {
        Some(rest) if rest.is_empty() || rest.starts_with(['.', '/', '[']) => Err(format!(
            "has the place `{place}`, which never has anything in it: places begin with the first name; leave `$.` out"
        )),
        Some(_) | None => Ok(()),
    }
}

fn check_block(block: &HelperTemplate, inside: Inside) -> Result<(), String> {
    let name = block.name.as_name().unwrap_or_default();
    if !BLOCKS.contains(&name) {
        return Err(unknown(name, BLOCKS.into_iter()));
    }
    if block.block_param.is_some() {
        return Err(no_block_parameters());
    }
    let [value] = block.params.as_slice() else {
        return Err(format!("gives the block `{name}` {} values; it takes one", block.params.len()));
    };
    let is_condition = matches!(name, "if" | "unless");
    if let Some(odd) = block.hash.keys().find(|key| !is_condition || *key != "includeZero") {
        return Err(format!("gives the block `{name}` a value named `{odd}`, which it does not take"));
    }
    check_parameter(value)?;
    if inside == Inside::Each && !is_condition && !leads_down(value) {
        return Err(format!(
            "has a block `{name}` in a loop that does not look into what the loop is at; write a name without `../` and \
             `@root`"
        ));
    }
    let inside = if name == "each" { Inside::Each } else { inside };
    if let Some(template) = &block.template {
        check_elements(template, inside)?;
    }
    match &block.inverse {
        Some(inverse) => check_elements(inverse, inside),
        None => Ok(()),
    }
}

/// Whether it is a plain path into what a block is at.
fn leads_down(parameter: &Parameter) -> bool {
    let Parameter::Path(NamePath::Relative((segments, _))) = parameter else { return false };
    segments.iter().all(|segment| matches!(segment, PathSeg::Named(_)))
}

fn no_block_parameters() -> String {
    "has `as |…|`, which is not supported; write `this`".to_owned()
}

fn unknown(name: &str, known: impl Iterator<Item = &'static str> + Clone) -> String {
    let advice = match nearest(name, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", known.collect::<Vec<_>>().join(", ")),
    };
    format!("has `{name}`, which is not supported; {advice}")
}

/// Shows every path in a template, as far as it consists of names. In blocks that look into something they begin there.
pub(super) fn paths(template: &handlebars::Template, look: &mut impl FnMut(&PathNames<'_>)) {
    for element in &template.elements {
        if let TemplateElement::Expression(call)
        | TemplateElement::HtmlExpression(call)
        | TemplateElement::HelperBlock(call) = element
        {
            call_paths(call, look);
        }
    }
}

fn call_paths(call: &HelperTemplate, look: &mut impl FnMut(&PathNames<'_>)) {
    for parameter in std::iter::once(&call.name).chain(&call.params).chain(call.hash.values()) {
        if let Parameter::Path(NamePath::Relative((segments, _))) = parameter {
            let named = segments.iter().skip_while(|segment| !matches!(segment, PathSeg::Named(_)));
            let steps: Vec<Step> = named.map_while(step).collect();
            look(&names(&steps));
        } else if let Parameter::Subexpression(inner) = parameter
            && let TemplateElement::Expression(call) = inner.as_element()
        {
            call_paths(call, look);
        }
    }
    for inner in call.template.iter().chain(&call.inverse) {
        paths(inner, look);
    }
}
