//! Names that come from a model, made fit to be shown.
//!
//! A model may name a node anything: a megabyte of text, a newline, `*/`, an escape sequence that clears the screen.
//! Messages and comments show names through [`Shown`] and never raw.

use std::fmt;

/// Shows a model's name on one line: control characters, quotes, backslashes and `*/`, `/*`, `//`, `??` (which begins a trigraph) are
/// escaped, and what is longer than 120 characters is cut in the middle.
pub struct Shown<'a>(pub &'a str);

const LONGEST: usize = 120;

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0;
        if text.chars().nth(LONGEST).is_none() {
            return escape(text, f);
        }
        let half = LONGEST / 2;
        let head = text.char_indices().nth(half).map_or(text, |(at, _)| &text[..at]);
        let tail = text.char_indices().rev().nth(half - 1).map_or(text, |(at, _)| &text[at..]);
        escape(head, f)?;
        write!(f, "…({} bytes)…", text.len())?;
        escape(tail, f)
    }
}

fn escape(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut previous = ' ';
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '*' | '/' if previous == '/' || (previous == '*' && c == '/') => write!(f, "\\{c}")?,
            '?' if previous == '?' => write!(f, "\\?")?,
            // Bidirectional overrides can make a line read as something else.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => write!(f, "{}", c.escape_unicode())?,
            c if c.is_control() => write!(f, "{}", c.escape_default())?,
            c => write!(f, "{c}")?,
        }
        previous = c;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for name in ["/model.0/conv/Conv", "Sigmoid_213", "層_1", "a*b"] {
            assert_eq!(Shown(name).to_string(), name);
        }
        assert_eq!(Shown("a*/b//c\n").to_string(), "a*\\/b/\\/c\\n");
    }

    proptest! {
        #[test]
        fn never_ends_a_comment_nor_breaks_a_line(name in "(\\PC|[*/?\\\\\n\r\"\u{1b}]){0,300}") {
            let shown = Shown(&name).to_string();
            prop_assert!(!shown.contains("*/") && !shown.contains("//") && !shown.contains("/*"));
            prop_assert!(!shown.contains("??"));
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert!(shown.chars().count() <= 6 * LONGEST + 40);
        }
    }
}
