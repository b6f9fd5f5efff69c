//! Values known while importing: the small tensors from which models compute shapes.
//!
//! Exporters write `Reshape(x, Concat(Shape(x)[0], -1, 64))`; what the Reshape does is known once the elements of its
//! second operand are. An element is a number, or a formula in the model's symbolic sizes, or unknown. Floats take part,
//! since sizes are scaled through them (`Cast`, `Mul` by 2.0, `Floor`, `Cast`).

use crate::dim::{Dim, DimError};
use crate::dtype::DType;
use crate::op::Op;
use crate::scalar::Number;
use crate::tensor::{Tensor, count};
use crate::view::View;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Larger tensors are not looked into: shapes are small, and so are the scales that sizes are multiplied by.
pub(crate) const LARGEST: usize = 1024;
const LARGEST_FLOAT: usize = 64;
/// Atoms in a formula. What comes out larger is treated as unknown.
pub(crate) const LONGEST_FORMULA: usize = 128;

/// What is known of the model's symbolic sizes: those of its inputs are at least 1, those that depend on data may be 0.
///
/// An input with an empty axis would still be refused or computed right wherever a size comes out negative; it is only in
/// comparisons that a model makes of its own sizes that it could be taken for a full one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sizes(pub(crate) BTreeSet<String>);

impl Sizes {
    pub(crate) fn least(&self, dim: &Dim) -> Option<i64> {
        dim.lower_bound(&|name| i64::from(self.0.contains(name)))
    }

    pub(crate) fn is_at_least(&self, dim: &Dim, least: i64) -> bool {
        self.least(dim).is_some_and(|bound| bound >= least)
    }

    /// max(0, dim), written only where it may matter.
    pub(crate) fn not_negative(&self, dim: Dim) -> Result<Dim, DimError> {
        if self.is_at_least(&dim, 0) { Ok(dim) } else { dim.larger(&Dim::ZERO) }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Elem {
    /// `num / den`, exactly; `den` > 0, and 1 for integers and bools.
    Exact {
        num: Dim,
        den: i64,
    },
    /// A float that is not such a fraction.
    Real(f64),
    Unknown,
}

impl Elem {
    pub(crate) fn int(num: Dim) -> Elem {
        Elem::exact(num, 1)
    }

    fn exact(num: Dim, den: i64) -> Elem {
        if den < 1 || !num.is_within(LONGEST_FORMULA) {
            return Elem::Unknown;
        }
        let common = gcd(num.known_divisor(), den.unsigned_abs());
        let common = i64::try_from(common).unwrap_or(1).max(1);
        match num.div_exact(&Dim::fixed(common)) {
            Some(num) => Elem::Exact { num, den: den / common },
            None => Elem::Exact { num, den },
        }
    }

    pub(crate) fn number(number: Number) -> Elem {
        match number {
            Number::Int(i) => i64::try_from(i).map_or(Elem::Unknown, |i| Elem::int(Dim::fixed(i))),
            // Fractions of powers of two are what sizes are scaled by; −0 must stay itself.
            Number::Float(x) => {
                let scaled = x * 1024.0;
                match scaled.fract() == 0.0 && scaled.abs() < 1e15 && !(x == 0.0 && x.is_sign_negative()) {
                    true => Elem::exact(Dim::fixed(scaled as i64), 1024),
                    false => Elem::Real(x),
                }
            }
        }
    }

    /// The integer or formula, if it is one.
    pub(crate) fn dim(&self) -> Option<&Dim> {
        match self {
            Elem::Exact { num, den: 1 } => Some(num),
            _ => None,
        }
    }

    /// The number, if no symbol is in it.
    pub(crate) fn value(&self, dtype: DType) -> Option<Number> {
        match self {
            Elem::Exact { num, den: 1 } if !dtype.is_float() => Some(Number::Int(num.known()?.into())),
            Elem::Exact { num, den } => Some(Number::Float(num.known()? as f64 / *den as f64)),
            Elem::Real(x) => Some(Number::Float(*x)),
            Elem::Unknown => None,
        }
    }

    fn bool(b: bool) -> Elem {
        Elem::int(Dim::fixed(b.into()))
    }
}

/// A small tensor's elements, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    pub(crate) dtype: DType,
    pub(crate) sizes: Vec<usize>,
    pub(crate) elems: Rc<[Elem]>,
}

impl Known {
    /// `None` if it would be too large, or the elements do not fill the sizes.
    pub(crate) fn new(dtype: DType, sizes: Vec<usize>, elems: Vec<Elem>) -> Option<Known> {
        let fits = elems.len() <= Known::most(dtype) && count(&sizes) == Some(elems.len());
        fits.then(|| Known { dtype, sizes, elems: elems.into() })
    }

    /// Elements that are followed at most.
    pub(crate) fn most(dtype: DType) -> usize {
        if dtype.is_float() { LARGEST_FLOAT } else { LARGEST }
    }

    /// A list of integers.
    pub(crate) fn dims(dims: impl IntoIterator<Item = Dim>) -> Option<Known> {
        let elems: Vec<Elem> = dims.into_iter().map(Elem::int).collect();
        Known::new(DType::I64, vec![elems.len()], elems)
    }

    pub(crate) fn scalar(dim: Dim) -> Known {
        Known { dtype: DType::I64, sizes: vec![], elems: Rc::new([Elem::int(dim)]) }
    }

    pub(crate) fn of(tensor: &Tensor) -> Option<Known> {
        if tensor.len() > Known::most(tensor.dtype()) {
            return None;
        }
        Known::new(tensor.dtype(), tensor.sizes().to_vec(), tensor.numbers().map(Elem::number).collect())
    }

    /// The tensor, if every element is a number.
    pub(crate) fn tensor(&self) -> Option<Tensor> {
        let numbers = self.elems.iter().map(|e| e.value(self.dtype)).collect::<Option<Vec<_>>>()?;
        Tensor::from_numbers(self.dtype, &self.sizes, numbers).ok()
    }

    /// All elements as integers, if all are.
    pub(crate) fn ints(&self) -> Option<Vec<i64>> {
        self.elems.iter().map(|e| e.dim()?.known()).collect()
    }

    /// All elements as sizes, if all are.
    pub(crate) fn to_dims(&self) -> Option<Vec<Dim>> {
        self.elems.iter().map(|e| e.dim().cloned()).collect()
    }

    /// All elements as floats, if all are numbers.
    pub(crate) fn floats(&self) -> Option<Vec<f64>> {
        self.elems.iter().map(|e| e.value(self.dtype).map(Number::as_f64)).collect()
    }

    /// The tensor of the given sizes whose element at an index is this one's at `source(index)`.
    pub(crate) fn rearranged(&self, sizes: &[usize], source: impl Fn(&[usize]) -> Option<usize>) -> Option<Known> {
        let elems = indices(sizes)?.map(|index| self.elems.get(source(&index)?).cloned()).collect::<Option<_>>()?;
        Known::new(self.dtype, sizes.to_vec(), elems)
    }

    fn strides(&self) -> Vec<usize> {
        strides(&self.sizes)
    }

    /// This tensor seen at an index of a shape it broadcasts to.
    fn broadcast_at(&self, index: &[usize]) -> Option<&Elem> {
        let offset = index.len().checked_sub(self.sizes.len())?;
        let strides = self.strides();
        let at = (0..self.sizes.len()).map(|i| if self.sizes[i] == 1 { 0 } else { index[i + offset] * strides[i] });
        self.elems.get(at.sum::<usize>())
    }
}

pub(crate) fn strides(sizes: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; sizes.len()];
    for i in (1..sizes.len()).rev() {
        strides[i - 1] = strides[i].saturating_mul(sizes[i]);
    }
    strides
}

/// Every index of a tensor of these sizes, row-major; `None` if there are more than [`LARGEST`].
pub(crate) fn indices(sizes: &[usize]) -> Option<impl Iterator<Item = Vec<usize>> + '_> {
    let total = count(sizes).filter(|&n| n <= LARGEST)?;
    let strides = strides(sizes);
    Some((0..total).map(move |flat| sizes.iter().zip(&strides).map(|(size, stride)| flat / stride % size).collect()))
}

/// What a view makes of known operands.
pub(crate) fn view(view: &View, operands: &[Known], sizes: &[usize]) -> Option<Known> {
    let x = operands.first()?;
    let strides = x.strides();
    match view {
        View::Reshape { .. } => Known::new(x.dtype, sizes.to_vec(), x.elems.to_vec()),
        View::Transpose { axes } => {
            x.rearranged(sizes, |index| Some(axes.iter().zip(index).map(|(&axis, i)| strides[axis] * i).sum()))
        }
        View::Expand { .. } => {
            let elems = indices(sizes)?.map(|index| x.broadcast_at(&index).cloned()).collect::<Option<_>>()?;
            Known::new(x.dtype, sizes.to_vec(), elems)
        }
        View::Slice { axes } => x.rearranged(sizes, |index| {
            let at = |(i, axis): (&usize, &crate::view::SliceAxis)| {
                usize::try_from(axis.start.known()?.checked_add(axis.step.checked_mul(*i as i64)?)?).ok()
            };
            index.iter().zip(axes).zip(&strides).try_fold(0, |sum, (pair, stride)| Some(sum + at(pair)? * stride))
        }),
        View::Repeat { factors } => x.rearranged(sizes, |index| {
            let at = index.iter().zip(factors).map(|(i, f)| i / *f as usize);
            Some(at.zip(&strides).map(|(i, stride)| i * stride).sum())
        }),
        View::Concat { axis } => {
            let elems = indices(sizes)?.map(|mut index| {
                for part in operands {
                    let size = part.sizes[*axis];
                    if index[*axis] < size {
                        let at: usize = index.iter().zip(part.strides()).map(|(i, stride)| i * stride).sum();
                        return part.elems.get(at).cloned();
                    }
                    index[*axis] -= size;
                }
                None
            });
            Known::new(x.dtype, sizes.to_vec(), elems.collect::<Option<_>>()?)
        }
    }
}

/// What a pointwise op makes of known operands: numbers by the op's own meaning, formulas by what is sure of sizes.
pub(crate) fn pointwise(op: Op, operands: &[Known], sizes: &[usize], result: DType, symbols: &Sizes) -> Option<Known> {
    let elems = indices(sizes)?.map(|index| {
        let at = operands.iter().map(|k| k.broadcast_at(&index)).collect::<Option<Vec<_>>>()?;
        let numbers = at.iter().zip(operands).map(|(e, k)| e.value(k.dtype)).collect::<Option<Vec<_>>>();
        Some(match numbers {
            Some(numbers) => Elem::number(op.eval(&numbers, result)),
            None => formula(op, &at, operands.first()?.dtype, result, symbols).unwrap_or(Elem::Unknown),
        })
    });
    Known::new(result, sizes.to_vec(), elems.collect::<Option<_>>()?)
}

fn formula(op: Op, x: &[&Elem], from: DType, result: DType, symbols: &Sizes) -> Option<Elem> {
    if op.name() == "where" {
        return match x[0].dim().and_then(Dim::known) {
            Some(condition) => Some(if condition != 0 { x[1].clone() } else { x[2].clone() }),
            None => (x[1] == x[2]).then(|| x[1].clone()),
        };
    }
    let Elem::Exact { num: a, den: p } = x.first()? else { return None };
    let Some(second) = x.get(1) else { return unary(op, a, *p, from, result, symbols) };
    let Elem::Exact { num: b, den: q } = second else { return None };
    // Both over the same denominator.
    let (c, d) = (a.mul(&Dim::fixed(*q)).ok()?, b.mul(&Dim::fixed(*p)).ok()?);
    let den = p.checked_mul(*q)?;
    let difference = c.sub(&d).ok()?;
    let compare = |wanted: fn(std::cmp::Ordering) -> bool| {
        let sign = difference.known().map(|n| n.cmp(&0));
        // Where the sign is known in one direction only, both orders that are left must agree.
        let above = symbols.is_at_least(&difference, 1);
        let below = || d.sub(&c).ok().filter(|negated| symbols.is_at_least(negated, 1));
        let sign =
            sign.or(above.then_some(std::cmp::Ordering::Greater)).or(below().map(|_| std::cmp::Ordering::Less))?;
        Some(Elem::bool(wanted(sign)))
    };
    match op.name() {
        "add" => Some(Elem::exact(c.add(&d).ok()?, den)),
        "sub" => Some(Elem::exact(difference, den)),
        "mul" => Some(Elem::exact(a.mul(b).ok()?, den)),
        "max" => Some(Elem::exact(c.larger(&d).ok()?, den)),
        "min" => Some(Elem::exact(c.smaller(&d).ok()?, den)),
        "div" if from.is_float() => match (d.known(), c.div_exact(&d)) {
            (_, Some(exact)) => Some(Elem::int(exact)),
            (Some(by), None) if by > 0 => Some(Elem::exact(c, by)),
            _ => None,
        },
        // Integer division truncates, which is the floor where nothing is negative.
        "div" if symbols.is_at_least(&c, 0) && symbols.is_at_least(&d, 1) => Some(Elem::int(c.floor_div(&d).ok()?)),
        "mod" | "fmod" => c.div_exact(&d).map(|_| Elem::int(Dim::ZERO)),
        "equal" => compare(|o| o.is_eq()),
        "less" => compare(|o| o.is_lt()),
        "less_equal" | "less_or_equal" => compare(|o| o.is_le()),
        "greater" => compare(|o| o.is_gt()),
        "greater_equal" | "greater_or_equal" => compare(|o| o.is_ge()),
        _ => None,
    }
}

fn unary(op: Op, a: &Dim, den: i64, from: DType, result: DType, symbols: &Sizes) -> Option<Elem> {
    let by = Dim::fixed(den);
    match op.name() {
        "neg" => Some(Elem::exact(Dim::ZERO.sub(a).ok()?, den)),
        "floor" => Some(Elem::int(a.floor_div(&by).ok()?)),
        "ceil" => Some(Elem::int(a.ceil_div(&by).ok()?)),
        "abs" | "relu" if symbols.is_at_least(a, 0) => Some(Elem::exact(a.clone(), den)),
        "cast" if result == DType::Bool => symbols.is_at_least(a, 1).then(|| Elem::bool(true)),
        "cast" if result.is_arithmetic_float() || !from.is_float() && result.bits() >= 32 => {
            Some(Elem::exact(a.clone(), den))
        }
        // Toward zero, which is the floor where nothing is negative.
        "cast" if !result.is_float() && result.bits() >= 32 && (den == 1 || symbols.is_at_least(a, 0)) => {
            Some(Elem::int(a.floor_div(&by).ok()?))
        }
        _ => None,
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
