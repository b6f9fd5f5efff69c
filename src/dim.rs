//! Tensor dimensions, known or symbolic.
//!
//! A dimension is a polynomial with integer coefficients over atoms: the model's named symbols (`batch`), and the
//! quotients and extrema that convolutions and slices make of them (`floor((h - 1)/2)`). Polynomials are kept in one
//! canonical form, so that equal dimensions compare equal, strides are dimensions too, and a plan compiled once is launched
//! at any size by evaluating them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

mod c_text;
mod parse;

/// What cannot be said of a dimension.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DimError {
    #[error("the dimension {0} overflows 63 bits")]
    Overflow(String),
    #[error("the dimension {0} divides by zero")]
    DivisionByZero(String),
    #[error("the size of {symbol:?} is not given; bind it with --dim {symbol}=N")]
    Unbound { symbol: String },
    #[error("the dimension {dim} is {value} for the given sizes, and a size can't be negative")]
    Negative { dim: String, value: i64 },
    #[error("{text:?} is not a dimension: {why}")]
    Parse { text: String, why: String },
}

/// Sizes given to named symbols.
pub type Bindings = BTreeMap<String, u64>;

/// A factor that arithmetic does not look into.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Atom {
    Symbol(Arc<str>),
    /// ⌊numerator / denominator⌋
    Floor(Arc<Dim>, Arc<Dim>),
    Max(Arc<Dim>, Arc<Dim>),
    Min(Arc<Dim>, Arc<Dim>),
}

/// A product of atoms, sorted, repeated for powers; empty for the constant term.
type Monomial = Vec<Atom>;

/// A dimension, stride or offset, in elements. See the module's page.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dim {
    constant: i64,
    /// Sorted by monomial, no zero coefficients, no empty monomial.
    terms: Vec<(Monomial, i64)>,
}

impl Dim {
    pub const ZERO: Dim = Dim::fixed(0);
    pub const ONE: Dim = Dim::fixed(1);

    /// A known size.
    pub const fn fixed(n: i64) -> Dim {
        Dim { constant: n, terms: Vec::new() }
    }

    /// A named size, at least 0, to be bound at launch.
    pub fn symbol(name: &str) -> Dim {
        Dim::atom(Atom::Symbol(name.into()))
    }

    fn atom(atom: Atom) -> Dim {
        Dim { constant: 0, terms: vec![(vec![atom], 1)] }
    }

    /// The value, if it does not depend on a symbol.
    pub fn known(&self) -> Option<i64> {
        self.terms.is_empty().then_some(self.constant)
    }

    /// True if the dimension is the constant `n`.
    pub fn is(&self, n: i64) -> bool {
        self.known() == Some(n)
    }

    fn build(constant: i64, terms: BTreeMap<Monomial, i64>) -> Dim {
        Dim { constant, terms: terms.into_iter().filter(|(_, c)| *c != 0).collect() }
    }

    /// Sum.
    pub fn add(&self, other: &Dim) -> Result<Dim, DimError> {
        let overflow = || DimError::Overflow(format!("{self} + {other}"));
        let mut terms: BTreeMap<Monomial, i64> = self.terms.iter().cloned().collect();
        for (monomial, c) in &other.terms {
            let sum = terms.entry(monomial.clone()).or_default();
            *sum = sum.checked_add(*c).ok_or_else(overflow)?;
        }
        Ok(Dim::build(self.constant.checked_add(other.constant).ok_or_else(overflow)?, terms))
    }

    /// Difference.
    pub fn sub(&self, other: &Dim) -> Result<Dim, DimError> {
        self.add(&other.mul(&Dim::fixed(-1))?)
    }

    /// Product.
    pub fn mul(&self, other: &Dim) -> Result<Dim, DimError> {
        let overflow = || DimError::Overflow(format!("({self}) * ({other})"));
        if let (Some(a), Some(b)) = (self.known(), other.known()) {
            return a.checked_mul(b).map(Dim::fixed).ok_or_else(overflow);
        }
        let (mut constant, mut terms) = (0i64, BTreeMap::<Monomial, i64>::new());
        for (m1, c1) in self.all_terms() {
            for (m2, c2) in other.all_terms() {
                let c = c1.checked_mul(c2).ok_or_else(overflow)?;
                let mut monomial: Monomial = m1.iter().chain(m2).cloned().collect();
                monomial.sort();
                let slot = if monomial.is_empty() { &mut constant } else { terms.entry(monomial).or_default() };
                *slot = slot.checked_add(c).ok_or_else(overflow)?;
            }
        }
        Ok(Dim::build(constant, terms))
    }

    fn all_terms(&self) -> impl Iterator<Item = (&[Atom], i64)> {
        let constant = (self.constant != 0).then_some((&[] as &[Atom], self.constant));
        constant.into_iter().chain(self.terms.iter().map(|(m, c)| (m.as_slice(), *c)))
    }

    /// The quotient if the division is exact whatever the symbols are, term by term: `(6·h·w) / (2·w) = 3·h`.
    pub fn div_exact(&self, other: &Dim) -> Option<Dim> {
        if self == other && !other.is(0) {
            return Some(Dim::ONE);
        }
        let mut divisor = other.all_terms();
        let ((by, coefficient), None) = (divisor.next()?, divisor.next()) else { return self.div_by_sum(other) };
        let (mut constant, mut terms) = (0, BTreeMap::new());
        for (monomial, c) in self.all_terms() {
            if c.checked_rem(coefficient)? != 0 {
                return None;
            }
            let mut rest = monomial.to_vec();
            for atom in by {
                rest.remove(rest.iter().position(|a| a == atom)?);
            }
            let quotient = c.checked_div(coefficient)?;
            match rest.is_empty() {
                true => constant = quotient,
                false => _ = terms.insert(rest, quotient),
            }
        }
        Some(Dim::build(constant, terms))
    }

    /// The quotient of an exact division by a sum, if it is one term: `(3·h·w + 3·w) / (h + 1) = 3·w`.
    fn div_by_sum(&self, other: &Dim) -> Option<Dim> {
        let (monomial, c) = self.all_terms().next()?;
        let one = |monomial: &[Atom], c: i64| match monomial {
            [] => Dim::fixed(c),
            _ => Dim { constant: 0, terms: vec![(monomial.to_vec(), c)] },
        };
        other.all_terms().find_map(|(by, by_c)| {
            let quotient = one(monomial, c).div_exact(&one(by, by_c))?;
            (quotient.mul(other).as_ref() == Ok(self)).then_some(quotient)
        })
    }

    /// ⌊self / other⌋; `other` must not be zero.
    pub fn floor_div(&self, other: &Dim) -> Result<Dim, DimError> {
        if other.is(0) {
            return Err(DimError::DivisionByZero(format!("({self}) / 0")));
        }
        if let Some(exact) = self.div_exact(other) {
            return Ok(exact);
        }
        if let (Some(a), Some(b)) = (self.known(), other.known()) {
            return Ok(Dim::fixed(floor(a, b)));
        }
        match other.known() {
            Some(by) if by > 0 => self.floor_div_known(by),
            _ => Ok(Dim::atom(Atom::Floor(Arc::new(self.clone()), Arc::new(other.clone())))),
        }
    }

    /// ⌊self / by⌋ in a short form, so that the sizes behind a stack of strided convolutions stay readable and compare equal:
    /// whole multiples are taken out, `⌊(4·n + 3)/2⌋ = 2·n + 1`, fractions reduced, and `⌊(⌊a/m⌋ + n)/by⌋ = ⌊(a + n·m)/(m·by)⌋`.
    fn floor_div_known(&self, by: i64) -> Result<Dim, DimError> {
        let mut whole = BTreeMap::new();
        let mut rest = BTreeMap::new();
        for (monomial, c) in &self.terms {
            match c % by {
                0 => whole.insert(monomial.clone(), c / by),
                _ => rest.insert(monomial.clone(), *c),
            };
        }
        let whole = Dim::build(floor(self.constant, by), whole);
        if rest.is_empty() {
            return Ok(whole);
        }
        // Common factors go, so that ⌊6h/4⌋ and ⌊3h/2⌋ are one; what is left of the constant can't reach a whole more.
        let common = rest.values().fold(by.unsigned_abs(), |g, c| gcd(g, c.unsigned_abs())) as i64;
        let by = by / common;
        let rest = rest.into_iter().map(|(monomial, c)| (monomial, c / common)).collect();
        let rest = Dim::build(self.constant.rem_euclid(by * common) / common, rest);
        let nested = match rest.terms.as_slice() {
            [(monomial, 1)] => match monomial.as_slice() {
                [Atom::Floor(a, m)] => m.known().filter(|m| *m > 0).map(|m| (a, m)),
                _ => None,
            },
            _ => None,
        };
        let quotient = match nested {
            Some((a, m)) => {
                let moved = a.add(&Dim::fixed(rest.constant).mul(&Dim::fixed(m))?)?;
                moved.floor_div(&Dim::fixed(m).mul(&Dim::fixed(by))?)?
            }
            None => Dim::atom(Atom::Floor(Arc::new(rest), Arc::new(Dim::fixed(by)))),
        };
        whole.add(&quotient)
    }

    /// ⌈self / other⌉; `other` must be positive.
    pub fn ceil_div(&self, other: &Dim) -> Result<Dim, DimError> {
        match self.div_exact(other) {
            Some(exact) => Ok(exact),
            None => self.add(other)?.sub(&Dim::ONE)?.floor_div(other),
        }
    }

    /// The larger of the two.
    pub fn larger(&self, other: &Dim) -> Result<Dim, DimError> {
        self.extremum(other, Atom::Max, i64::max)
    }

    /// The smaller of the two.
    pub fn smaller(&self, other: &Dim) -> Result<Dim, DimError> {
        self.extremum(other, Atom::Min, i64::min)
    }

    fn extremum(
        &self,
        other: &Dim,
        atom: fn(Arc<Dim>, Arc<Dim>) -> Atom,
        of: fn(i64, i64) -> i64,
    ) -> Result<Dim, DimError> {
        if let Some(difference) = self.sub(other)?.known() {
            return Ok(if of(difference, 0) == difference { self.clone() } else { other.clone() });
        }
        let (a, b) = if self <= other { (self, other) } else { (other, self) };
        Ok(Dim::atom(atom(Arc::new(a.clone()), Arc::new(b.clone()))))
    }

    /// The value with every symbol bound, which may be negative (an offset is).
    pub fn eval_signed(&self, bindings: &Bindings) -> Result<i64, DimError> {
        let overflow = || DimError::Overflow(self.to_string());
        let mut sum = self.constant;
        for (monomial, c) in &self.terms {
            let mut product = *c;
            for atom in monomial {
                let value = match atom {
                    Atom::Symbol(name) => {
                        let bound = bindings.get(&**name);
                        let n = *bound.ok_or_else(|| DimError::Unbound { symbol: name.to_string() })?;
                        i64::try_from(n).map_err(|_| overflow())?
                    }
                    Atom::Floor(a, b) => match b.eval_signed(bindings)? {
                        0 => return Err(DimError::DivisionByZero(self.to_string())),
                        b => floor(a.eval_signed(bindings)?, b),
                    },
                    Atom::Max(a, b) => a.eval_signed(bindings)?.max(b.eval_signed(bindings)?),
                    Atom::Min(a, b) => a.eval_signed(bindings)?.min(b.eval_signed(bindings)?),
                };
                product = product.checked_mul(value).ok_or_else(overflow)?;
            }
            sum = sum.checked_add(product).ok_or_else(overflow)?;
        }
        Ok(sum)
    }

    /// The size with every symbol bound.
    pub fn eval(&self, bindings: &Bindings) -> Result<u64, DimError> {
        let value = self.eval_signed(bindings)?;
        u64::try_from(value).map_err(|_| DimError::Negative { dim: self.to_string(), value })
    }

    /// The dimension with the given symbols replaced by their sizes.
    pub fn bind(&self, bindings: &Bindings) -> Result<Dim, DimError> {
        let mut sum = Dim::fixed(self.constant);
        for (monomial, c) in &self.terms {
            let mut product = Dim::fixed(*c);
            for atom in monomial {
                let factor = match atom {
                    Atom::Symbol(name) => match bindings.get(&**name) {
                        Some(&n) => Dim::fixed(i64::try_from(n).map_err(|_| DimError::Overflow(self.to_string()))?),
                        None => Dim::atom(atom.clone()),
                    },
                    Atom::Floor(a, b) => a.bind(bindings)?.floor_div(&b.bind(bindings)?)?,
                    Atom::Max(a, b) => a.bind(bindings)?.larger(&b.bind(bindings)?)?,
                    Atom::Min(a, b) => a.bind(bindings)?.smaller(&b.bind(bindings)?)?,
                };
                product = product.mul(&factor)?;
            }
            sum = sum.add(&product)?;
        }
        Ok(sum)
    }

    /// A number the dimension can't be below, `least` saying that of each symbol; `None` where none is evident.
    pub fn lower_bound(&self, least: &dyn Fn(&str) -> i64) -> Option<i64> {
        self.terms.iter().try_fold(self.constant, |sum, (monomial, c)| {
            let bound = match monomial.as_slice() {
                [factor] => factor.lower_bound(least),
                // A product is bounded by its factors' bounds only where none can be negative.
                factors => factors
                    .iter()
                    .map(|f| f.lower_bound(least))
                    .try_fold(1i64, |p, f| p.checked_mul(f.filter(|f| *f >= 0)?)),
            };
            // What is subtracted has no upper bound in general.
            sum.checked_add(bound.filter(|_| *c > 0)?.checked_mul(*c)?)
        })
    }

    /// True if the formula has at most `limit` atoms, counted through quotients and extrema. What a model computes of its
    /// sizes is small; a hostile model can make formulas that double with each node.
    pub fn is_within(&self, limit: usize) -> bool {
        self.spend(limit).is_some()
    }

    /// What is left of `budget` after counting this dimension's atoms.
    fn spend(&self, mut budget: usize) -> Option<usize> {
        for atom in self.terms.iter().flat_map(|(monomial, _)| monomial) {
            budget = budget.checked_sub(1)?;
            if let Atom::Floor(a, b) | Atom::Max(a, b) | Atom::Min(a, b) = atom {
                budget = b.spend(a.spend(budget)?)?;
            }
        }
        Some(budget)
    }

    /// The symbols it depends on, added to `into`.
    pub fn symbols(&self, into: &mut std::collections::BTreeSet<String>) {
        for atom in self.terms.iter().flat_map(|(monomial, _)| monomial) {
            match atom {
                Atom::Symbol(name) => drop(into.insert(name.to_string())),
                Atom::Floor(a, b) | Atom::Max(a, b) | Atom::Min(a, b) => {
                    a.symbols(into);
                    b.symbols(into);
                }
            }
        }
    }

    /// True if no term is subtracted, so that the value is at least 0 wherever the sizes in it are.
    pub fn never_negative(&self) -> bool {
        self.constant >= 0 && self.terms.iter().all(|(_, c)| *c >= 0)
    }

    /// The largest known integer that divides the dimension whatever its symbols are; 0 for the dimension 0.
    /// Vector widths are chosen by it.
    pub fn known_divisor(&self) -> u64 {
        self.all_terms().fold(0, |g, (_, c)| gcd(g, c.unsigned_abs()))
    }
}

impl Atom {
    fn lower_bound(&self, least: &dyn Fn(&str) -> i64) -> Option<i64> {
        match self {
            Atom::Symbol(name) => Some(least(name)),
            Atom::Floor(a, b) => match (a.lower_bound(least)?, b.known(), b.lower_bound(least)?) {
                (bound, Some(divisor), _) if divisor > 0 => Some(floor(bound, divisor)),
                (0.., None, 1..) => Some(0),
                _ => None,
            },
            Atom::Max(a, b) => a.lower_bound(least).max(b.lower_bound(least)),
            Atom::Min(a, b) => Some(a.lower_bound(least)?.min(b.lower_bound(least)?)),
        }
    }
}

fn floor(a: i64, b: i64) -> i64 {
    let q = a.wrapping_div(b);
    if a.wrapping_rem(b) != 0 && (a < 0) != (b < 0) { q - 1 } else { q }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl From<i64> for Dim {
    fn from(n: i64) -> Dim {
        Dim::fixed(n)
    }
}

impl From<usize> for Dim {
    /// Sizes beyond 2⁶³ saturate; no tensor has them.
    fn from(n: usize) -> Dim {
        Dim::fixed(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

impl From<i32> for Dim {
    fn from(n: i32) -> Dim {
        Dim::fixed(n.into())
    }
}

impl From<&str> for Dim {
    /// A symbol of that name.
    fn from(name: &str) -> Dim {
        Dim::symbol(name)
    }
}

impl fmt::Display for Dim {
    /// As a formula that [`str::parse`] reads back: `2*batch + 1`, `floor((h - 1)/2)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (monomial, c) in &self.terms {
            match (first, *c < 0) {
                (true, true) => write!(f, "-")?,
                (true, false) => {}
                (false, negative) => write!(f, " {} ", if negative { '-' } else { '+' })?,
            }
            first = false;
            if c.unsigned_abs() != 1 {
                write!(f, "{}*", c.unsigned_abs())?;
            }
            for (i, atom) in monomial.iter().enumerate() {
                write!(f, "{}{atom}", if i > 0 { "*" } else { "" })?;
            }
        }
        match (first, self.constant) {
            (true, c) => write!(f, "{c}"),
            (false, 0) => Ok(()),
            (false, c) => write!(f, " {} {}", if c < 0 { '-' } else { '+' }, c.unsigned_abs()),
        }
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Atom::Symbol(name) if parse::is_plain(name) => write!(f, "{name}"),
            Atom::Symbol(name) => write!(f, "{name:?}"),
            Atom::Floor(a, b) => write!(f, "floor(({a})/({b}))"),
            Atom::Max(a, b) => write!(f, "max({a}, {b})"),
            Atom::Min(a, b) => write!(f, "min({a}, {b})"),
        }
    }
}

impl Serialize for Dim {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.known() {
            Some(n) => s.serialize_i64(n),
            None => s.serialize_str(&self.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for Dim {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Dim, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Known(i64),
            Formula(String),
        }
        match Form::deserialize(d)? {
            Form::Known(n) => Ok(Dim::fixed(n)),
            Form::Formula(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests;
