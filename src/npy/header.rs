//! The header of a `.npy` file: a literal of Python, of which NumPy writes one form.
//!
//! Read here and not by a parser of Python, because a file may hold anything: nesting without end, sizes that overflow.
//! Source: numpy.lib.format.

use super::Problem;
use crate::dtype::DType;
use std::io::Read;

/// The longest header that NumPy itself reads without being told to.
const LONGEST: usize = 10_000;

#[derive(Debug, PartialEq)]
pub(super) struct Header {
    pub dtype: DType,
    pub big_endian: bool,
    pub fortran: bool,
    pub sizes: Vec<usize>,
}

/// NumPy's name of a type.
pub(super) fn descr(dtype: DType) -> String {
    let kind = match dtype {
        DType::Bool => 'b',
        t if t.is_float() => 'f',
        t if t.is_signed_int() => 'i',
        _ => 'u',
    };
    let bytes = dtype.bytes().unwrap_or(1);
    format!("{}{kind}{bytes}", if bytes == 1 { '|' } else { '<' })
}

/// The types that NumPy has.
const TYPES: [DType; 12] = [
    DType::F16,
    DType::F32,
    DType::F64,
    DType::I8,
    DType::I16,
    DType::I32,
    DType::I64,
    DType::U8,
    DType::U16,
    DType::U32,
    DType::U64,
    DType::Bool,
];

impl Header {
    pub fn read(reader: &mut impl Read) -> Result<Header, Problem> {
        let mut start = [0; 8];
        reader.read_exact(&mut start).map_err(|_| Problem::Magic)?;
        if start[..6] != *b"\x93NUMPY" {
            return Err(Problem::Magic);
        }
        let length = if start[6] == 1 {
            let mut le = [0; 2];
            reader.read_exact(&mut le)?;
            usize::from(u16::from_le_bytes(le))
        } else {
            let mut le = [0; 4];
            reader.read_exact(&mut le)?;
            u32::from_le_bytes(le) as usize
        };
        if length > LONGEST {
            let why = format!("it is {length} bytes long, more than the {LONGEST} that a plain tensor needs");
            return Err(Problem::Header { at: 8, why });
        }
        let mut text = vec![0; length];
        reader.read_exact(&mut text)?;
        let at = if start[6] == 1 { 10 } else { 12 };
        Parser { text: &text, at: 0 }.header().map_err(|problem| match problem {
            Problem::Header { at: within, why } => Problem::Header { at: at + within, why },
            other => other,
        })
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn header(mut self) -> Result<Header, Problem> {
        let (mut descr, mut fortran, mut sizes) = (None, None, None);
        self.expect(b'{')?;
        while !self.skip(b'}') {
            let key = self.string()?;
            self.expect(b':')?;
            match key.as_str() {
                "descr" => descr = Some(self.string()?),
                "fortran_order" => fortran = Some(self.boolean()?),
                "shape" => sizes = Some(self.sizes()?),
                _ => return Err(self.error("an unknown key")),
            }
            if !self.skip(b',') {
                self.expect(b'}')?;
                break;
            }
        }
        let missing = |key: &str| Problem::Header { at: self.at, why: format!("{key} is missing") };
        let text = descr.ok_or_else(|| missing("descr"))?;
        let (order, plain) = text.split_at_checked(1).unwrap_or_default();
        let dtype = TYPES.into_iter().find(|t| &self::descr(*t)[1..] == plain);
        match dtype {
            Some(dtype) if matches!(order, "<" | ">" | "|" | "=") => Ok(Header {
                dtype,
                big_endian: order == ">",
                fortran: fortran.ok_or_else(|| missing("fortran_order"))?,
                sizes: sizes.ok_or_else(|| missing("shape"))?,
            }),
            _ => Err(Problem::Type { descr: text }),
        }
    }

    fn error(&self, why: &str) -> Problem {
        Problem::Header { at: self.at, why: why.into() }
    }

    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn skip(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Problem> {
        match self.skip(byte) {
            true => Ok(()),
            false => Err(self.error(&format!("{:?} is expected", char::from(byte)))),
        }
    }

    fn string(&mut self) -> Result<String, Problem> {
        let quote =
            self.peek().filter(|q| matches!(q, b'\'' | b'"')).ok_or_else(|| self.error("a string is expected"))?;
        let rest = &self.text[self.at + 1..];
        let end = rest.iter().position(|b| *b == quote).ok_or_else(|| self.error("a string does not end"))?;
        self.at += end + 2;
        Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    fn word(&mut self, take: impl Fn(&u8) -> bool) -> &str {
        self.peek();
        let rest = &self.text[self.at..];
        let n = rest.iter().position(|b| !take(b)).unwrap_or(rest.len());
        self.at += n;
        std::str::from_utf8(&rest[..n]).unwrap_or("")
    }

    fn boolean(&mut self) -> Result<bool, Problem> {
        match self.word(u8::is_ascii_alphabetic) {
            "True" => Ok(true),
            "False" => Ok(false),
            _ => Err(self.error("True or False is expected")),
        }
    }

    fn sizes(&mut self) -> Result<Vec<usize>, Problem> {
        self.expect(b'(')?;
        let mut sizes = Vec::new();
        while !self.skip(b')') {
            let size = self.word(u8::is_ascii_digit).parse();
            sizes.push(size.map_err(|_| self.error("a size is expected"))?);
            // Python 2 wrote long integers with an L.
            self.skip(b'L');
            if !self.skip(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(sizes)
    }
}
