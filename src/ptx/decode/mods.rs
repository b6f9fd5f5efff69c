//! The modifiers of one instruction, taken off one by one. What nobody takes is an error: a modifier is never ignored by accident.

use crate::ptx::ast::{Instr, Ty};
use crate::ptx::error::{PtxError, line_text};
use crate::ptx::ops::round::mode;

pub(crate) struct Mods<'a> {
    left: Vec<&'a str>,
}

impl<'a> Mods<'a> {
    pub(crate) fn new(instr: &Instr<'a>) -> Mods<'a> {
        Mods { left: instr.mods.clone() }
    }

    /// Takes a modifier if it is there.
    pub(crate) fn take(&mut self, name: &str) -> bool {
        match self.left.iter().position(|m| *m == name) {
            Some(i) => {
                self.left.remove(i);
                true
            }
            None => false,
        }
    }

    /// Takes the first of several alternatives that is there.
    pub(crate) fn one_of(&mut self, names: &[&'static str]) -> Option<&'static str> {
        names.iter().find(|n| self.take(n)).copied()
    }

    /// Takes the next modifier, whatever it is.
    pub(crate) fn next(&mut self) -> Option<&'a str> {
        (!self.left.is_empty()).then(|| self.left.remove(0))
    }

    /// Takes the first modifier that is a type.
    pub(crate) fn ty(&mut self) -> Option<Ty> {
        let i = self.left.iter().position(|m| Ty::parse(m).is_some())?;
        Ty::parse(self.left.remove(i))
    }

    /// Takes every modifier that starts so: cache hints and prefetch sizes change nothing here.
    pub(crate) fn drop_prefixed(&mut self, prefixes: &[&str]) {
        self.left.retain(|m| !prefixes.iter().any(|p| m.starts_with(p)));
    }

    /// Takes a rounding direction: `.rn`, `.rz`, `.rm`, `.rp`.
    pub(crate) fn rounding(&mut self) -> Option<u8> {
        self.one_of(&["rn", "rz", "rm", "rp"]).map(|m| match m {
            "rn" => mode::RN,
            "rz" => mode::RZ,
            "rm" => mode::RM,
            _ => mode::RP,
        })
    }

    /// Takes a rounding to an integer: `.rni`, `.rzi`, `.rmi`, `.rpi`.
    pub(crate) fn integral(&mut self) -> Option<u8> {
        self.one_of(&["rni", "rzi", "rmi", "rpi"]).map(|m| match m {
            "rni" => mode::RN,
            "rzi" => mode::RZ,
            "rmi" => mode::RM,
            _ => mode::RP,
        })
    }

    /// Fails if a modifier is left.
    pub(crate) fn done(self, source: &str, instr: &Instr<'_>) -> Result<(), PtxError> {
        match self.left.first() {
            None => Ok(()),
            Some(m) => Err(PtxError::UnknownModifier {
                line: instr.line,
                opcode: instr.opcode.to_string(),
                modifier: m.to_string(),
                text: line_text(source, instr.line),
            }),
        }
    }
}
