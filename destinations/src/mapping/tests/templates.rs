//! Templates.

use super::root;
use crate::definition::Escaping;
use crate::mapping::{Root, Template};

/// Templates of text and names, and what comes out.
const PLAIN: &[(&str, &str)] = &[
    ("", ""),
    ("no places", "no places"),
    ("{{properties.total}}", "12.50"),
    ("{{ properties.total }} EUR", "12.50 EUR"),
    ("{{properties.name}} & <b>", "Grün Ada \"x\" & <b>"),
    ("{{{properties.name}}}", "Grün Ada \"x\""),
    ("{{&properties.name}}", "Grün Ada \"x\""),
    ("<{{context.page.url}}>", "<https://shop.example/?a=1&b=2>"),
    ("[{{properties.missing}}]", "[]"),
    ("[{{properties.missing.deeper}}]", "[]"),
    ("[{{properties.null}}]", "[]"),
    ("[{{properties.empty}}]", "[]"),
    ("{{properties.yes}} {{properties.no}}", "true false"),
    ("{{properties.list}}", "[1, 2.0, [object]]"),
    ("{{properties.none}} {{properties.address}}", "[] [object]"),
    ("{{properties.twice}}", "2"),
    ("{{properties.products.[0].sku}}{{properties.products.1.sku}}", "AB"),
    ("{{properties.products.[7].sku}}", ""),
    ("{{properties.[first name]}} {{properties.[a.b]}}", "Ada dotted"),
    ("{{profile.traits.plan}} {{profile.identifiers.email.[0]}}", "pro a@b.c"),
    ("{{delivery.id}}", "msg_1"),
    ("a{{! a note }}b{{!-- another }} --}}c", "abc"),
    (r"\{{event}} {{event}}", "{{event}} Order Completed"),
    ("a  {{~event~}}  b", "aOrder Completedb"),
    ("{\"a\": \"{{event}}\"}", "{\"a\": \"Order Completed\"}"),
    ("{{event}}\n{{type}}\n", "Order Completed\ntrack\n"),
    ("{{this.event}} {{./type}}", "Order Completed track"),
];

/// Templates with blocks and helpers, and what comes out.
const BLOCKS: &[(&str, &str)] = &[
    ("{{#if properties.yes}}a{{else}}b{{/if}}", "a"),
    ("{{#if properties.missing}}a{{else}}b{{/if}}", "b"),
    ("{{#if properties.no}}a{{else if properties.total}}b{{else}}c{{/if}}", "b"),
    ("{{#unless properties.empty}}none{{/unless}}", "none"),
    ("{{#each properties.products}}{{sku}},{{/each}}", "A,B,,"),
    ("{{#each properties.products}}{{@index}}{{#if @last}}.{{else}}/{{/if}}{{/each}}", "0/1/2."),
    ("{{#each properties.none}}x{{else}}none{{/each}}", "none"),
    (
        "{{#each properties.products}}{{../event}};{{/each}}",
        "Order Completed;Order Completed;Order Completed;",
    ),
    ("{{#each properties.address}}{{@key}} {{/each}}", "city geo "),
    ("{{#with properties.address}}{{city}} {{geo.lat}}{{/with}}", "Ulm 48.40"),
    ("{{#if (gt properties.total 10)}}more{{/if}}", "more"),
    ("{{#if (and properties.yes (not properties.no))}}both{{/if}}", "both"),
    ("{{#if (eq event \"Order Completed\")}}done{{/if}}", "done"),
    ("{{lookup properties \"first name\"}} {{len properties.products}}", "Ada 3"),
    ("{{@root.event}}", "Order Completed"),
    ("{{#each properties.list}}{{this}} {{/each}}", "1 2.0 [object] "),
    ("{{#with profile}}{{traits.plan}}{{/with}}", "pro"),
    ("{{#if properties.yes}}<&>{{properties.name}}{{/if}}", "<&>Grün Ada \"x\""),
];

#[test]
fn plain_templates_are_filled_as_the_library_does() {
    for (text, want) in PLAIN {
        let template = Template::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
        assert_eq!(template.render(&root()).as_deref(), Ok(*want), "{text}");
        let library =
            Template::parse_for_library(text, None).unwrap_or_else(|problem| panic!("{text}: {problem}"));
        assert_eq!(library.render(&root()).as_deref(), Ok(*want), "{text}, by the library");
    }
}

#[test]
fn blocks_and_helpers_are_filled_by_the_library() {
    for (text, want) in BLOCKS {
        let template = Template::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
        assert_eq!(template.render(&root()).as_deref(), Ok(*want), "{text}");
    }
}

#[test]
fn what_is_put_in_is_escaped_where_that_is_asked_for() {
    let event = r#"{"event":"<!channel> & \"co\" &lt;","list":["<a>",1],"yes":true}"#;
    let cases = [
        ("<!here> & {{event}}", "<!here> & &lt;!channel&gt; &amp; \"co\" &amp;lt;"),
        ("{{{event}}}|{{&event}}", "<!channel> & \"co\" &lt;|<!channel> & \"co\" &lt;"),
        ("{{list}} {{list.[0]}} {{missing}}", "[&lt;a&gt;, 1] &lt;a&gt; "),
    ];
    let blocks = [
        ("{{#if yes}}<{{list.[0]}}>{{/if}}", "<&lt;a&gt;>"),
        ("{{#each list}}<{{this}}>{{/each}}", "<&lt;a&gt;><1>"),
        ("{{lookup list 0}} {{{lookup list 0}}} {{#if yes}}{{{list.[0]}}}{{/if}}", "&lt;a&gt; <a> <a>"),
    ];
    let escape = Some(Escaping::HtmlEntities);
    for (text, want) in cases {
        let template = Template::parse_escaping(text, escape).expect("a template");
        assert_eq!(template.render(&Root::new(event)).as_deref(), Ok(want), "{text}");
    }
    for (text, want) in cases.into_iter().chain(blocks) {
        let template = Template::parse_for_library(text, escape).expect("a template");
        assert_eq!(template.render(&Root::new(event)).as_deref(), Ok(want), "{text}, by the library");
    }
}

#[test]
fn what_comes_out_is_limited() {
    let limit = 64 << 10;
    for (length, is_taken) in [(limit, true), (limit + 1, false)] {
        let event = serde_json::json!({ "a": "x".repeat(length - 2), "list": [1] }).to_string();
        for text in ["<{{a}}>", "{{#if list}}<{{a}}>{{/if}}"] {
            let made = Template::parse(text).expect("a template").render(&Root::new(&event));
            assert_eq!(made.is_ok(), is_taken, "{text}");
            assert_eq!(made.err().as_deref(), (!is_taken).then_some("gives more than 64 KB"), "{text}");
        }
    }
}

#[test]
fn a_list_has_no_members_with_names() {
    let text = "{{#if event}}{{properties.products.sku}}{{/if}}";
    let made = Template::parse(text).expect("a template").render(&root());
    let problem = made.err().unwrap_or_default();
    assert!(problem.starts_with("names a member of a list; write its index"), "{problem}");
}

#[test]
fn what_is_no_template_or_not_supported_is_refused() {
    let cases = [
        ("{{".to_owned(), "is no template (line 1, column"),
        ("{{}}".to_owned(), "is no template"),
        ("a\n{{b c".to_owned(), "is no template (line 2"),
        ("{{#if a}}b".to_owned(), "is no template"),
        ("{{#if a}}b{{/each}}".to_owned(), "is no template"),
        ("{{/if}}".to_owned(), "is no template"),
        ("{{> header}}".to_owned(), "has a partial or a decorator"),
        ("{{#*inline \"a\"}}b{{/inline}}".to_owned(), "has a partial or a decorator"),
        ("{{frobnicate a}}".to_owned(), "has `frobnicate`, which is not supported; there are lookup"),
        ("{{lokup a \"b\"}}".to_owned(), "did you mean `lookup`?"),
        ("{{log a}}".to_owned(), "has `log`, which is not supported"),
        ("{{#a}}b{{/a}}".to_owned(), "has `a`, which is not supported; there are if, unless, each, with"),
        ("{{#iff a}}b{{/iff}}".to_owned(), "did you mean `if`?"),
        ("{{if a}}".to_owned(), "has `if` without a `#`"),
        ("{{len}}".to_owned(), "gives `len` 0 values"),
        ("{{(lookup a \"b\")}}".to_owned(), "has a helper in parentheses"),
        ("{{{{raw}}}}a{{{{/raw}}}}".to_owned(), "has four braces in a row"),
        ("{{$.properties.total}}".to_owned(), "has the place `$.properties.total`"),
        ("{{{$.event}}} {{event}}".to_owned(), "leave `$.` out"),
        ("{{$}}".to_owned(), "has the place `$`"),
        ("{{#if $.event}}b{{/if}}".to_owned(), "has the place `$.event`"),
        ("{{#each $.properties.products}}b{{/each}}".to_owned(), "has the place `$.properties.products`"),
        ("{{#if a}}{{else if (eq b $.c)}}{{$.d}}{{/if}}".to_owned(), "has the place `$.c`"),
        ("{{eq a}}".to_owned(), "gives `eq` 1 values; it takes 2"),
        ("{{#if (eq a)}}b{{/if}}".to_owned(), "gives `eq` 1 values"),
        ("{{#if (foo a b)}}b{{/if}}".to_owned(), "has `foo`, which is not supported"),
        ("{{#if a b}}c{{/if}}".to_owned(), "gives the block `if` 2 values"),
        ("{{#each a b=1}}c{{/each}}".to_owned(), "a value named `b`"),
        ("{{#each a as |b|}}{{b}}{{/each}}".to_owned(), "has `as |…|`"),
        ("{{#each a}}{{#each ../b}}c{{/each}}{{/each}}".to_owned(), "has a block `each` in a loop"),
        (
            "{{#each a}}{{#with @root}}{{#each b}}c{{/each}}{{/with}}{{/each}}".to_owned(),
            "has a block `with` in a loop",
        ),
        ("a".repeat(10_001), "has 10001 bytes; the limit is 10000"),
        ("{{a}}".repeat(201), "has 201 places; the limit is 200"),
        ("{{#if a}}".repeat(21), "has 21 blocks and branches of blocks; the limit is 20"),
        (format!("{{{{a {}", "(a ".repeat(101)), "has 101 opening parentheses"),
        (format!("{{{{a {}", "[".repeat(101)), "has 101 opening brackets"),
        (format!("{{{{a {}", "{\"\":".repeat(101)), "has 101 opening braces"),
    ];
    for (text, want) in cases {
        let problem = Template::parse(&text).err().unwrap_or_default();
        assert!(problem.contains(want), "{text}: {problem}");
    }
}

#[test]
fn what_is_as_large_as_it_may_be_is_taken() {
    let nested = format!("{}x{}", "{{#if a}}".repeat(20), "{{/if}}".repeat(20));
    let parentheses = format!("{{{{#if {}a{}}}}}x{{{{/if}}}}", "(not ".repeat(100), ")".repeat(100));
    for text in ["a".repeat(10_000), "{{a}}".repeat(200), nested, parentheses, "(".repeat(100)] {
        let template = Template::parse(&text).unwrap_or_else(|problem| panic!("{text:.40}: {problem}"));
        assert!(template.render(&Root::new(r#"{"a":1}"#)).is_ok(), "{text:.40}");
    }
}
