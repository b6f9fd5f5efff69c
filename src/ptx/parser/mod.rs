//! Parses PTX tokens into the syntax tree. It checks syntax only; names and opcodes are resolved by `decode`.

mod operand;

use super::ast::{Ast, Function, Init, Instr, Space, Stmt, Ty, VarDecl};
use super::error::{PtxError, line_text};
use super::lexer::{Tok, lex};

pub(crate) fn parse(source: &str) -> Result<Ast<'_>, PtxError> {
    let toks = lex(source)?;
    Parser { source, toks, at: 0, depth: 0, bytes: 0, registers: 0 }.module()
}

struct Parser<'a> {
    source: &'a str,
    toks: Vec<(Tok<'a>, u32)>,
    at: usize,
    /// Braces and parentheses around what is being read.
    depth: u32,
    /// Bytes of variables, and registers, that have been declared.
    bytes: usize,
    registers: u32,
}

/// The largest alignment of a variable, in bytes.
const MAX_ALIGN: usize = 1 << 12;
/// The most registers of a module.
const MAX_REGISTERS: u32 = 1 << 20;
/// The most bytes that the variables of a module have together.
const MAX_BYTES: usize = 1 << 30;
/// How deep vectors, lists and initialisers nest.
const MAX_DEPTH: u32 = 64;

type Res<T> = Result<T, PtxError>;

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<Tok<'a>> {
        self.toks.get(self.at).map(|t| t.0)
    }

    fn peek_at(&self, ahead: usize) -> Option<Tok<'a>> {
        self.toks.get(self.at + ahead).map(|t| t.0)
    }

    fn line(&self) -> u32 {
        let last = self.toks.len().saturating_sub(1);
        self.toks.get(self.at.min(last)).map_or(1, |t| t.1)
    }

    fn fail<T>(&self, message: impl Into<String>) -> Res<T> {
        let line = self.line();
        Err(PtxError::Syntax { line, message: message.into(), text: line_text(self.source, line) })
    }

    fn bump(&mut self) -> Option<Tok<'a>> {
        let tok = self.peek();
        self.at += 1;
        tok
    }

    fn is(&self, c: char) -> bool {
        self.peek() == Some(Tok::Punct(c))
    }

    fn eat(&mut self, c: char) -> bool {
        let hit = self.is(c);
        self.at += usize::from(hit);
        hit
    }

    fn expect(&mut self, c: char) -> Res<()> {
        if self.eat(c) { Ok(()) } else { self.fail(format!("expected `{c}`, found {:?}", self.peek())) }
    }

    fn ident(&mut self) -> Res<&'a str> {
        match self.peek() {
            Some(Tok::Ident(name)) => {
                self.at += 1;
                Ok(name)
            }
            other => self.fail(format!("expected a name, found {other:?}")),
        }
    }

    fn int(&mut self) -> Res<u64> {
        match self.peek() {
            Some(Tok::Int(v)) => {
                self.at += 1;
                Ok(v)
            }
            other => self.fail(format!("expected an integer, found {other:?}")),
        }
    }

    fn eat_dot(&mut self, word: &str) -> bool {
        let hit = self.peek() == Some(Tok::Dot(word));
        self.at += usize::from(hit);
        hit
    }

    fn skip_line(&mut self) {
        let line = self.line();
        while self.at < self.toks.len() && self.toks[self.at].1 == line {
            self.at += 1;
        }
    }

    fn module(mut self) -> Res<Ast<'a>> {
        let mut ast = Ast::default();
        while let Some(tok) = self.peek() {
            let Tok::Dot(word) = tok else { return self.fail(format!("expected a directive, found {tok:?}")) };
            match word {
                "version" | "address_size" | "file" => self.skip_line(),
                "target" => {
                    self.at += 1;
                    ast.target = self.ident()?;
                    while self.eat(',') {
                        self.ident()?;
                    }
                }
                "pragma" => {
                    while self.at < self.toks.len() && !self.eat(';') {
                        self.at += 1;
                    }
                }
                "section" => {
                    while self.at < self.toks.len() && !self.eat('}') {
                        self.at += 1;
                    }
                }
                _ => self.declaration(&mut ast)?,
            }
        }
        Ok(ast)
    }

    fn declaration(&mut self, ast: &mut Ast<'a>) -> Res<()> {
        let mut external = false;
        loop {
            match self.peek() {
                Some(Tok::Dot("extern")) => external = true,
                Some(Tok::Dot("visible" | "weak" | "common")) => {}
                _ => break,
            }
            self.at += 1;
        }
        match self.peek() {
            Some(Tok::Dot("entry")) => {
                self.at += 1;
                ast.functions.push(self.function(true)?);
            }
            Some(Tok::Dot("func")) => {
                self.at += 1;
                ast.functions.push(self.function(false)?);
            }
            Some(Tok::Dot(word)) if space(word).is_some() => {
                self.at += 1;
                let mut vars = self.variables(space(word).unwrap_or(Space::Global), external)?;
                ast.vars.append(&mut vars);
                self.expect(';')?;
            }
            Some(Tok::Dot(word)) => {
                let line = self.line();
                return Err(PtxError::UnknownDirective {
                    line,
                    directive: word.into(),
                    text: line_text(self.source, line),
                });
            }
            other => return self.fail(format!("expected a declaration, found {other:?}")),
        }
        Ok(())
    }

    fn function(&mut self, entry: bool) -> Res<Function<'a>> {
        let line = self.line();
        let mut returns = Vec::new();
        if !entry && self.is('(') {
            returns = self.param_list()?;
        }
        let name = self.ident()?;
        let params = if self.is('(') { self.param_list()? } else { Vec::new() };
        let mut function =
            Function { name, entry, line, params, returns, body: None, required_block: None, max_threads: None };
        while let Some(Tok::Dot(word)) = self.peek() {
            self.at += 1;
            let mut dims = Vec::new();
            while matches!(self.peek(), Some(Tok::Int(_))) {
                dims.push(u32::try_from(self.int()?).unwrap_or(u32::MAX));
                if !self.eat(',') {
                    break;
                }
            }
            match (word, dims.as_slice()) {
                ("reqntid", d @ [_, ..]) => {
                    function.required_block =
                        Some([d[0], d.get(1).copied().unwrap_or(1), d.get(2).copied().unwrap_or(1)]);
                }
                ("maxntid", d @ [_, ..]) => {
                    function.max_threads = Some(d.iter().fold(1, |n: u32, d| n.saturating_mul(*d)));
                }
                ("minnctapersm" | "maxnreg" | "maxnctapersm" | "noreturn", _) => {}
                _ => {
                    return Err(PtxError::UnknownDirective {
                        line,
                        directive: word.into(),
                        text: line_text(self.source, line),
                    });
                }
            }
        }
        if !self.eat(';') {
            function.body = Some(self.body()?);
        }
        Ok(function)
    }

    fn param_list(&mut self) -> Res<Vec<VarDecl<'a>>> {
        self.expect('(')?;
        let mut params = Vec::new();
        while !self.eat(')') {
            if !self.eat_dot("param") {
                return self.fail("expected `.param`; register parameters are not supported");
            }
            params.push(self.variable(Space::Param, false)?);
            self.eat(',');
        }
        Ok(params)
    }

    fn variables(&mut self, space: Space, external: bool) -> Res<Vec<VarDecl<'a>>> {
        let first = self.variable(space, external)?;
        let mut vars = vec![first];
        while self.eat(',') {
            // Further names of one declaration share the element type and alignment of the first.
            let like = vars[0].clone();
            let name = self.ident()?;
            vars.push(VarDecl { name, init: Vec::new(), ..like });
        }
        Ok(vars)
    }

    /// After the state space: `.align N .b8 name[dims] = init`.
    fn variable(&mut self, space: Space, external: bool) -> Res<VarDecl<'a>> {
        let (mut align, mut lanes, mut ty) = (None, 1usize, None);
        while let Some(Tok::Dot(word)) = self.peek() {
            self.at += 1;
            match word {
                "align" => {
                    let value = self.int()? as usize;
                    // `.ptr .align N` states the alignment of what a pointer refers to, not of the parameter.
                    if align.is_none() && ty.is_none() {
                        align = Some(value);
                    }
                }
                "v2" => lanes = 2,
                "v4" => lanes = 4,
                "ptr" | "global" | "const" | "shared" | "local" | "attribute" => {
                    if word == "attribute" {
                        while self.at < self.toks.len() && !self.eat(')') {
                            self.at += 1;
                        }
                    }
                }
                "texref" | "samplerref" | "surfref" => return self.fail("textures and surfaces are not supported"),
                _ => match Ty::parse(word) {
                    Some(t) => ty = Some(t),
                    None => return self.fail(format!("`.{word}` is not a type")),
                },
            }
        }
        let Some(ty) = ty else { return self.fail("a variable has no type") };
        let name = self.ident()?;
        let (mut count, mut unbounded) = (lanes, false);
        while self.eat('[') {
            if self.eat(']') {
                unbounded = true;
                continue;
            }
            count = count.saturating_mul(self.int()? as usize);
            self.expect(']')?;
        }
        let mut init = Vec::new();
        if self.eat('=') {
            let mut at = 0;
            self.initialiser(ty.bytes(), &mut at, &mut init)?;
            if unbounded {
                count = at / ty.bytes();
                unbounded = false;
            }
        }
        let size = if unbounded { 0 } else { count.saturating_mul(ty.bytes()) };
        let align = align.unwrap_or(ty.bytes() * lanes);
        if size > largest(space) || !align.is_power_of_two() || align > MAX_ALIGN {
            return self.fail(format!("`{name}` has {size} bytes, aligned to {align}; there is no such variable"));
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > MAX_BYTES {
            return self.fail(format!("the variables have more than {MAX_BYTES} bytes together"));
        }
        Ok(VarDecl { space, name, align, size, unbounded, init, external })
    }

    fn initialiser(&mut self, width: usize, at: &mut usize, out: &mut Vec<(usize, Init<'a>)>) -> Res<()> {
        if self.eat('{') {
            self.deeper()?;
            while !self.eat('}') {
                self.initialiser(width, at, out)?;
                self.eat(',');
            }
            self.depth -= 1;
            return Ok(());
        }
        let negative = self.eat('-');
        let value = match self.bump() {
            Some(Tok::Int(v)) if width <= 8 => {
                Init::Bytes((if negative { v.wrapping_neg() } else { v }).to_le_bytes()[..width].to_vec())
            }
            Some(Tok::F32(bits)) if width == 4 => Init::Bytes(bits.to_le_bytes().to_vec()),
            Some(Tok::F64(bits)) if width == 8 => Init::Bytes(bits.to_le_bytes().to_vec()),
            Some(Tok::Ident("generic")) => {
                self.expect('(')?;
                let name = self.ident()?;
                self.expect(')')?;
                Init::Address(name, self.offset()?)
            }
            Some(Tok::Ident(name)) => Init::Address(name, self.offset()?),
            other => return self.fail(format!("`{other:?}` cannot initialise a variable")),
        };
        if matches!(value, Init::Address(..)) && width != 8 {
            return self.fail("an address initialises something else than 64 bits");
        }
        out.push((*at, value));
        *at += width;
        Ok(())
    }

    /// One more brace or parenthesis is open.
    fn deeper(&mut self) -> Res<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fail(format!("braces and parentheses nest deeper than {MAX_DEPTH}"));
        }
        Ok(())
    }

    /// `+4`, `-4`, `+-4` or nothing.
    fn offset(&mut self) -> Res<i64> {
        let mut sign = 1i64;
        let mut any = false;
        loop {
            if self.eat('+') {
                any = true;
            } else if self.eat('-') {
                any = true;
                sign = -sign;
            } else {
                break;
            }
        }
        if any { Ok(sign.wrapping_mul(self.int()? as i64)) } else { Ok(0) }
    }

    fn body(&mut self) -> Res<Vec<Stmt<'a>>> {
        self.expect('{')?;
        let mut out = Vec::new();
        let mut depth = 1;
        loop {
            match self.peek() {
                None => return self.fail("a function body is never closed"),
                Some(Tok::Punct('{')) => {
                    self.at += 1;
                    depth += 1;
                    out.push(Stmt::Open);
                }
                Some(Tok::Punct('}')) => {
                    self.at += 1;
                    depth -= 1;
                    if depth == 0 {
                        return Ok(out);
                    }
                    out.push(Stmt::Close);
                }
                Some(Tok::Punct(';')) => self.at += 1,
                Some(Tok::Ident(name)) if self.peek_at(1) == Some(Tok::Punct(':')) => {
                    self.at += 2;
                    out.push(Stmt::Label(name));
                    if self.eat_dot("branchtargets") {
                        let mut targets = vec![self.ident()?];
                        while self.eat(',') {
                            targets.push(self.ident()?);
                        }
                        self.expect(';')?;
                        out.push(Stmt::Targets(targets));
                    }
                }
                Some(Tok::Dot(word)) => self.body_directive(word, &mut out)?,
                Some(_) => out.push(Stmt::Instr(self.instruction()?)),
            }
        }
    }

    fn body_directive(&mut self, word: &'a str, out: &mut Vec<Stmt<'a>>) -> Res<()> {
        let line = self.line();
        self.at += 1;
        match word {
            "reg" => {
                let mut ty = None;
                while let Some(Tok::Dot(t)) = self.peek() {
                    ty = Ty::parse(t);
                    self.at += 1;
                }
                let Some(ty) = ty else { return self.fail("a register has no known type") };
                let mut names = Vec::new();
                loop {
                    let name = self.ident()?;
                    let mut count = None;
                    if self.eat('<') {
                        let n = self.int()?;
                        if n > u64::from(MAX_REGISTERS) {
                            return self.fail(format!("{n} registers are more than any kernel has"));
                        }
                        count = Some(n as u32);
                        self.expect('>')?;
                    }
                    self.registers = self.registers.saturating_add(count.unwrap_or(1));
                    if self.registers > MAX_REGISTERS {
                        return self.fail(format!("more than {MAX_REGISTERS} registers are declared"));
                    }
                    names.push((name, count));
                    if !self.eat(',') {
                        break;
                    }
                }
                self.expect(';')?;
                out.push(Stmt::Regs(ty, names));
            }
            "local" | "shared" | "param" | "global" | "const" => {
                let vars = self.variables(space(word).unwrap_or(Space::Local), false)?;
                self.expect(';')?;
                out.extend(vars.into_iter().map(Stmt::Var));
            }
            "loc" => {
                while self.at < self.toks.len() && self.toks[self.at].1 == line {
                    self.at += 1;
                }
            }
            "pragma" => {
                while self.at < self.toks.len() && !self.eat(';') {
                    self.at += 1;
                }
            }
            _ => {
                return Err(PtxError::UnknownDirective {
                    line,
                    directive: word.into(),
                    text: line_text(self.source, line),
                });
            }
        }
        Ok(())
    }

    fn instruction(&mut self) -> Res<Instr<'a>> {
        let mut guard = None;
        if self.eat('@') {
            let negated = self.eat('!');
            guard = Some((self.ident()?, negated));
        }
        let line = self.line();
        let opcode = self.ident()?;
        let mut mods = Vec::new();
        while let Some(Tok::Dot(word)) = self.peek() {
            self.at += 1;
            mods.push(word);
        }
        let mut operands = Vec::new();
        if !self.eat(';') {
            loop {
                operands.push(self.operand()?);
                if self.eat(';') {
                    break;
                }
                self.expect(',')?;
            }
        }
        Ok(Instr { line, guard, opcode, mods, operands })
    }
}

fn space(word: &str) -> Option<Space> {
    Some(match word {
        "global" => Space::Global,
        "const" => Space::Const,
        "shared" => Space::Shared,
        "local" => Space::Local,
        "param" => Space::Param,
        _ => return None,
    })
}

/// The largest variable of a space, in bytes: what the space holds, or plenty.
fn largest(space: Space) -> usize {
    match space {
        Space::Global => 1 << 30,
        Space::Const | Space::Param => 1 << 16,
        Space::Shared => 1 << 18,
        Space::Local => 1 << 19,
    }
}
