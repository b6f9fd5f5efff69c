//! Index arithmetic as C++ lines: from a place in the domain to coordinates, from coordinates to the offset of an element.

use super::names;
use super::params::Param;
use crate::dim::Dim;
use crate::plan::{Access, IndexWidth};

/// Writes index arithmetic of one width and collects the parameters it names.
pub struct Indexer<'a> {
    pub domain: &'a [Dim],
    pub width: IndexWidth,
    pub params: Vec<Param>,
}

impl Indexer<'_> {
    pub fn param(&mut self, param: Param) {
        if !self.params.iter().any(|p| p.name == param.name) {
            self.params.push(param);
        }
    }

    /// `n / d` for the size `d`, whose parameters are called `name`.
    pub fn quotient(&mut self, n: &str, name: &str, d: &Dim) -> String {
        Param::divisor(name, d, self.width).into_iter().for_each(|param| self.param(param));
        match self.width {
            IndexWidth::Bits32 => format!("divide({n}, {name}_mul, {name}_shift)"),
            IndexWidth::Bits64 => format!("{n} / {name}"),
        }
    }

    /// Lines that define the coordinates along the axes `wanted` of element `at` of the row-major space of the axes `space`, both
    /// ascending.
    pub fn coordinates(&mut self, at: &str, space: &[usize], wanted: &[usize]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut rest = at.to_owned();
        let Some(outermost) = wanted.first().copied() else { return lines };
        for (i, &axis) in space.iter().enumerate().rev() {
            // An axis of one has the coordinate 0, which no offset needs.
            if axis < outermost || self.domain[axis].is(1) {
                continue;
            }
            if space[..i].iter().all(|outer| self.domain[*outer].is(1)) {
                lines.push(format!("const idx {} = {rest};", names::index(axis)));
                break;
            }
            let (size, quotient) = (names::size(axis), format!("q{axis}"));
            let text = self.quotient(&rest, &size, &self.domain[axis].clone());
            lines.push(format!("const idx {quotient} = {text};"));
            if wanted.contains(&axis) {
                lines.push(format!("const idx {} = {rest} - {quotient} * {size};", names::index(axis)));
            }
            rest = quotient;
        }
        lines
    }

    /// The offset of an access, of which `axes` are summed; `"0"` if none counts.
    pub fn offset(&mut self, pointer: &str, access: &Access, axes: impl Iterator<Item = usize>) -> String {
        let mut terms = Vec::new();
        for axis in axes {
            let stride = &access.strides[axis];
            if stride.is(0) || self.domain[axis].is(1) {
                continue;
            }
            let index = names::index(axis);
            if stride.is(1) {
                terms.push(format!("(off){index}"));
            } else {
                let name = names::stride(pointer, axis);
                self.param(Param::stride(name.clone(), stride, self.width));
                terms.push(format!("(off){index} * {name}"));
            }
        }
        if terms.is_empty() { "0".to_owned() } else { terms.join(" + ") }
    }

    /// The axes along which any of the accesses moves.
    pub fn moved<'b>(&self, accesses: impl Iterator<Item = &'b Access> + Clone, axes: usize) -> Vec<usize> {
        let moves = |axis: &usize| !self.domain[*axis].is(1) && accesses.clone().any(|a| !a.strides[*axis].is(0));
        (0..axes).filter(moves).collect()
    }
}
