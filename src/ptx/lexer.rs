//! Cuts PTX text into tokens. A token borrows from the text and remembers its line.

use super::error::{PtxError, line_text};

/// One token of PTX.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Tok<'a> {
    /// A name: opcode, register (`%r1`), symbol (`$L__BB0_2`, `_Z1fv`).
    Ident(&'a str),
    /// A name after a dot, without the dot: directive, modifier or the `x` of `%tid.x`. May hold `::`.
    Dot(&'a str),
    /// An integer literal, as written without sign.
    Int(u64),
    /// `0fXXXXXXXX`: the bits of an f32.
    F32(u32),
    /// `0dXXXXXXXXXXXXXXXX`, or a decimal literal: the bits of an f64.
    F64(u64),
    /// A quoted string, without the quotes.
    Str(&'a str),
    /// Any single punctuation character.
    Punct(char),
}

/// Cuts the whole text. Returns tokens with the line each one starts on.
pub(crate) fn lex(source: &str) -> Result<Vec<(Tok<'_>, u32)>, PtxError> {
    let bytes = source.as_bytes();
    let mut out = Vec::with_capacity(source.len() / 3);
    let (mut i, mut line) = (0, 1u32);
    let fail = |line: u32, message: String| PtxError::Syntax { line, message, text: line_text(source, line) };
    while i < bytes.len() {
        let c = bytes[i];
        match c {
            b'\n' => {
                line += 1;
                i += 1;
            }
            // A NUL byte ends the text: NVRTC counts the terminator in the size it reports.
            0 => break,
            b' ' | b'\t' | b'\r' => i += 1,
            b'/' if bytes.get(i + 1) == Some(&b'/') => {
                while i < bytes.len() && bytes[i] != b'\n' {
                    i += 1;
                }
            }
            b'/' if bytes.get(i + 1) == Some(&b'*') => {
                let end = source[i..].find("*/").ok_or_else(|| fail(line, "a comment is never closed".into()))?;
                line += source[i..i + end].matches('\n').count() as u32;
                i += end + 2;
            }
            b'"' => {
                let len = source[i + 1..].find('"').ok_or_else(|| fail(line, "a string is never closed".into()))?;
                out.push((Tok::Str(&source[i + 1..i + 1 + len]), line));
                line += source[i + 1..i + 1 + len].matches('\n').count() as u32;
                i += len + 2;
            }
            b'0'..=b'9' => {
                let end = i + word_len(&bytes[i..], |b| b.is_ascii_alphanumeric());
                let fraction = bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
                let end =
                    if fraction { end + 1 + word_len(&bytes[end + 1..], |b| b.is_ascii_alphanumeric()) } else { end };
                let word = &source[i..end];
                out.push((number(word).ok_or_else(|| fail(line, format!("`{word}` is not a number")))?, line));
                i = end;
            }
            b'.' => {
                let len = word_len(&bytes[i + 1..], |b| is_name(b) || b == b':');
                // A trailing colon belongs to the statement, not to the word.
                let word = source[i + 1..i + 1 + len].trim_end_matches(':');
                if word.is_empty() {
                    return Err(fail(line, "a dot is not followed by a name".into()));
                }
                out.push((Tok::Dot(word), line));
                i += 1 + word.len();
            }
            _ if is_name(c) || c == b'%' => {
                let len = 1 + word_len(&bytes[i + 1..], is_name);
                out.push((Tok::Ident(&source[i..i + len]), line));
                i += len;
            }
            b'{' | b'}' | b'(' | b')' | b'[' | b']' | b'<' | b'>' | b',' | b';' | b':' | b'+' | b'-' | b'!' | b'|'
            | b'@' | b'=' => {
                out.push((Tok::Punct(c as char), line));
                i += 1;
            }
            _ => {
                let shown = source[i..].chars().next().unwrap_or('?');
                return Err(fail(line, format!("unexpected character `{shown}`")));
            }
        }
    }
    Ok(out)
}

fn is_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'$'
}

fn word_len(bytes: &[u8], keep: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|&b| !keep(b)).unwrap_or(bytes.len())
}

fn number(word: &str) -> Option<Tok<'static>> {
    let lower = word.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0f").filter(|h| h.len() == 8) {
        return u32::from_str_radix(hex, 16).ok().map(Tok::F32);
    }
    if let Some(hex) = lower.strip_prefix("0d").filter(|h| h.len() == 16) {
        return u64::from_str_radix(hex, 16).ok().map(Tok::F64);
    }
    if let Some(hex) = lower.strip_prefix("0x") {
        return u64::from_str_radix(hex.trim_end_matches('u'), 16).ok().map(Tok::Int);
    }
    if let Some(bits) = lower.strip_prefix("0b") {
        return u64::from_str_radix(bits.trim_end_matches('u'), 2).ok().map(Tok::Int);
    }
    if word.contains('.') {
        return word.parse::<f64>().ok().map(|v| Tok::F64(v.to_bits()));
    }
    let digits = lower.trim_end_matches('u');
    if digits.len() > 1 && digits.starts_with('0') {
        return u64::from_str_radix(&digits[1..], 8).ok().map(Tok::Int);
    }
    digits.parse().ok().map(Tok::Int)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Tok<'_>> {
        lex(text).unwrap().into_iter().map(|(t, _)| t).collect()
    }

    #[test]
    fn cuts_an_instruction() {
        let toks = kinds("@!%p1 ld.global.L1::no_allocate.v2.f32 {%f1, _}, [%rd1+-4]; // tail");
        assert_eq!(toks[0], Tok::Punct('@'));
        assert_eq!(toks[2], Tok::Ident("%p1"));
        assert_eq!(toks[3], Tok::Ident("ld"));
        assert_eq!(toks[5], Tok::Dot("L1::no_allocate"));
        assert!(toks.contains(&Tok::Ident("_")));
        assert_eq!(*toks.last().unwrap(), Tok::Punct(';'));
    }

    #[test]
    fn reads_every_kind_of_number() {
        assert_eq!(
            kinds("0f3F800000 0d3FF0000000000000 0x1fU 017 42 0b101 1.5"),
            [
                Tok::F32(0x3f80_0000),
                Tok::F64(0x3ff0_0000_0000_0000),
                Tok::Int(31),
                Tok::Int(15),
                Tok::Int(42),
                Tok::Int(5),
                Tok::F64(1.5f64.to_bits())
            ]
        );
    }

    #[test]
    fn counts_lines_through_comments_and_strings() {
        let toks = lex("a\n/* x\n y */ b \"s\nt\" c").unwrap();
        assert_eq!(toks.iter().map(|t| t.1).collect::<Vec<_>>(), [1, 3, 3, 4]);
    }

    #[test]
    fn names_the_line_of_a_bad_character() {
        let err = lex("mov\n  # x").unwrap_err();
        assert!(err.to_string().contains("line 2") && err.to_string().contains('#'), "{err}");
    }

    #[test]
    fn labels_keep_their_colon_apart() {
        assert_eq!(kinds("$L_1: ret;")[..2], [Tok::Ident("$L_1"), Tok::Punct(':')]);
    }
}
