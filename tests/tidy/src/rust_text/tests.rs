//! What the scanner calls code, comment and literal.

use super::*;

fn check(source: &str, code: &str, comments: &str, literals: &str) {
    let split = split(source);
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(squeeze(&split.code), code, "code of {source}");
    assert_eq!(squeeze(&split.comments), comments, "comments of {source}");
    assert_eq!(squeeze(&split.literals), literals, "literals of {source}");
    assert_eq!(split.code.len(), source.len());
}

#[test]
fn split_every_kind_of_token_is_told_apart() {
    check("let a = 1; // unsafe", "let a = 1;", "// unsafe", "");
    check("a /* x /* y */ z */ b", "a b", "/* x /* y */ z */", "");
    check(r#"f("unsafe // no", g)"#, "f( , g)", "", "\"unsafe // no\"");
    check(r#"f("\"unsafe", g)"#, "f( , g)", "", "\"\\\"unsafe\"");
    check(
        "f(r#\"a \" unsafe\"#, g)",
        "f( , g)",
        "",
        "r#\"a \" unsafe\"#",
    );
    check("f(b\"x\", br\"y\")", "f(b , )", "", "\"x\" br\"y\"");
    check(
        "fn a<'x>(b: &'x str, c: char) { c == '\"' }",
        "fn a<'x>(b: &'x str, c: char) { c == }",
        "",
        "'\"'",
    );
    check(
        "['\\'', '\\\\', 'é', '\\u{41}']",
        "[ , , , ]",
        "",
        "'\\'' '\\\\' 'é' '\\u{41}'",
    );
    check(
        "'outer: loop { break 'outer }",
        "'outer: loop { break 'outer }",
        "",
        "",
    );
    check("r#type + br", "r#type + br", "", "");
}

#[test]
fn split_unclosed_literal_ends_with_the_file() {
    check("a \"b", "a", "", "\"b");
    check("a /* b", "a", "/* b", "");
    check("a r#\"b\"", "a", "", "r#\"b\"");
    check("a '\\", "a", "", "'\\");
}

#[test]
fn words_of_code_come_with_their_offsets() {
    let found: Vec<_> = words("an unsafe_code + unsafe{é}").collect();
    assert_eq!(
        found,
        [(0, "an"), (3, "unsafe_code"), (17, "unsafe"), (24, "é")]
    );
}
