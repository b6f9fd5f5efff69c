//! Columns: a few thousand elements at a time, as the numbers that calculations use, so that an op's meaning is looked up once a
//! column and not once an element.

use super::NodeError;
use super::strided::{Run, loose_bytes};
use crate::dtype::DType;
use crate::minifloat::{self, Overflow};
use crate::op::{self, Eval, MAX_ARITY, Op};
use crate::scalar::{Number, Scalar};
use crate::tensor::Tensor;
use std::borrow::Cow;

/// What happens to the result of each statement of a kernel's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Rounded to its type, as each node's result is in a graph.
    EachStatement,
    /// Kept in f64 for floats; rounded only by cast, quantize and store. The truth that kernels are compared with.
    Exact,
}

/// Numbers of one element type: f64 holds every float type, i128 every integer type and bool.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Column {
    Float(Vec<f64>),
    Int(Vec<i128>),
}

impl Column {
    /// An empty column with room for `n` elements of a type.
    pub fn with_capacity(dtype: DType, n: usize) -> Column {
        match dtype.is_float() {
            true => Column::Float(Vec::with_capacity(n)),
            false => Column::Int(Vec::with_capacity(n)),
        }
    }

    /// One number, `n` times.
    pub fn splat(number: Number, n: usize) -> Column {
        match number {
            Number::Float(x) => Column::Float(vec![x; n]),
            Number::Int(i) => Column::Int(vec![i; n]),
        }
    }

    /// The numbers as f64.
    pub fn into_floats(self) -> Vec<f64> {
        match self {
            Column::Float(x) => x,
            Column::Int(x) => x.into_iter().map(|i| i as f64).collect(),
        }
    }

    /// The numbers as integers, floats being truncated.
    pub fn into_ints(self) -> Vec<i128> {
        match self {
            Column::Int(x) => x,
            Column::Float(x) => x.into_iter().map(|x| Number::Float(x).as_i128()).collect(),
        }
    }

    /// A tensor of the numbers, each stored as [`Scalar::new`] stores it.
    pub fn into_tensor(self, dtype: DType, sizes: &[usize]) -> Result<Tensor, NodeError> {
        let mut bytes = vec![0; self.len() * loose_bytes(dtype)];
        self.write(dtype, &mut bytes);
        from_loose(dtype, sizes, bytes)
    }

    pub fn len(&self) -> usize {
        match self {
            Column::Float(x) => x.len(),
            Column::Int(x) => x.len(),
        }
    }

    /// `n` numbers from `start` on.
    pub fn part(&self, start: usize, n: usize) -> Column {
        match self {
            Column::Float(x) => Column::Float(x[start..start + n].to_vec()),
            Column::Int(x) => Column::Int(x[start..start + n].to_vec()),
        }
    }

    pub fn get(&self, i: usize) -> Number {
        match self {
            Column::Float(x) => Number::Float(x[i]),
            Column::Int(x) => Number::Int(x[i]),
        }
    }

    fn floats(&self, n: usize) -> Cow<'_, [f64]> {
        match self {
            Column::Float(x) => Cow::Borrowed(&x[..n]),
            Column::Int(x) => Cow::Owned(x[..n].iter().map(|&i| i as f64).collect()),
        }
    }

    fn ints(&self, n: usize) -> Cow<'_, [i128]> {
        match self {
            Column::Int(x) => Cow::Borrowed(&x[..n]),
            Column::Float(x) => Cow::Owned(x[..n].iter().map(|&x| Number::Float(x).as_i128()).collect()),
        }
    }

    /// Rounds each number to a type.
    pub fn round(&mut self, dtype: DType) {
        match (self, dtype) {
            (Column::Float(_), DType::F64) => {}
            (Column::Float(x), DType::F32) => x.iter_mut().for_each(|x| *x = f64::from(*x as f32)),
            (Column::Float(x), t) => x.iter_mut().for_each(|x| *x = Number::Float(*x).rounded_to(t).as_f64()),
            (Column::Int(x), t) => x.iter_mut().for_each(|x| *x = Number::Int(*x).rounded_to(t).as_i128()),
        }
    }

    /// Appends the elements of a run of a tensor.
    pub fn read(&mut self, tensor: &Tensor, run: Run) {
        let (dtype, bytes) = (tensor.dtype(), tensor.bytes());
        match (self, dtype) {
            (Column::Float(to), DType::F32) => read(to, bytes, run, |b| f32::from_le_bytes(b).into()),
            (Column::Float(to), DType::F64) => read(to, bytes, run, f64::from_le_bytes),
            (Column::Float(to), DType::F16) => read(to, bytes, run, |b| half::f16::from_le_bytes(b).to_f64()),
            (Column::Float(to), DType::BF16) => read(to, bytes, run, |b| half::bf16::from_le_bytes(b).to_f64()),
            (Column::Float(to), t) if t.bytes() == Some(1) => {
                read(to, bytes, run, |[b]| minifloat::decode(t, b.into()));
            }
            (Column::Float(to), _) => to.extend(run.elements().map(|i| tensor.at(i).as_f64())),
            (Column::Int(to), DType::I64) => read(to, bytes, run, |b| i64::from_le_bytes(b).into()),
            (Column::Int(to), DType::U64) => read(to, bytes, run, |b| u64::from_le_bytes(b).into()),
            (Column::Int(to), DType::I32) => read(to, bytes, run, |b| i32::from_le_bytes(b).into()),
            (Column::Int(to), DType::U32) => read(to, bytes, run, |b| u32::from_le_bytes(b).into()),
            (Column::Int(to), DType::I16) => read(to, bytes, run, |b| i16::from_le_bytes(b).into()),
            (Column::Int(to), DType::U16) => read(to, bytes, run, |b| u16::from_le_bytes(b).into()),
            (Column::Int(to), DType::I8) => read(to, bytes, run, |b| i8::from_le_bytes(b).into()),
            (Column::Int(to), DType::U8 | DType::Bool) => read(to, bytes, run, |[b]| b.into()),
            (Column::Int(to), _) => to.extend(run.elements().map(|i| tensor.at(i).number().as_i128())),
        }
    }

    /// Stores each number as an element of a type, one after another; a packed type takes a byte an element here.
    pub fn write(&self, dtype: DType, to: &mut [u8]) {
        match (self, dtype) {
            (Column::Float(x), DType::F32) => write(to, x, |x| (x as f32).to_le_bytes()),
            (Column::Float(x), DType::F64) => write(to, x, f64::to_le_bytes),
            (Column::Float(x), t) if t.bits() == 16 => {
                write(to, x, |x| (minifloat::encode(t, x, Overflow::Infinity) as u16).to_le_bytes());
            }
            (Column::Int(x), t) if t.bits() == 64 => write(to, x, |i| (i as u64).to_le_bytes()),
            (Column::Int(x), t) if t.bits() == 32 => write(to, x, |i| (i as u32).to_le_bytes()),
            (Column::Int(x), t) if t.bits() == 16 => write(to, x, |i| (i as u16).to_le_bytes()),
            (Column::Int(x), DType::I8 | DType::U8) => write(to, x, |i| [i as u8]),
            (Column::Float(x), t) => write(to, x, |x| [Scalar::new(t, Number::Float(x)).bits() as u8]),
            (Column::Int(x), t) => write(to, x, |i| [Scalar::new(t, Number::Int(i)).bits() as u8]),
        }
    }
}

/// All elements of a tensor.
pub(super) fn whole(tensor: &Tensor) -> Column {
    let mut column = Column::with_capacity(tensor.dtype(), tensor.len());
    column.read(tensor, Run { base: 0, step: 1, n: tensor.len() });
    column
}

/// A tensor of elements that have a byte each even if their type is packed.
pub(super) fn from_loose(dtype: DType, sizes: &[usize], bytes: Vec<u8>) -> Result<Tensor, NodeError> {
    if dtype.bytes().is_some() {
        return Ok(Tensor::new(dtype, sizes.to_vec(), bytes.into())?);
    }
    let bits = dtype.bits() as usize;
    let pack = |group: &[u8]| group.iter().enumerate().fold(0, |byte, (i, code)| byte | code << (i * bits));
    let packed: Vec<u8> = bytes.chunks(8 / bits).map(pack).collect();
    Ok(Tensor::new(dtype, sizes.to_vec(), packed.into())?)
}

fn read<T: Copy, const W: usize>(to: &mut Vec<T>, bytes: &[u8], run: Run, decode: impl Fn([u8; W]) -> T) {
    let from = bytes.as_chunks::<W>().0;
    match run.step {
        1 => to.extend(from[run.base as usize..][..run.n].iter().map(|b| decode(*b))),
        0 => to.extend(std::iter::repeat_n(decode(from[run.base as usize]), run.n)),
        _ => to.extend(run.elements().map(|i| decode(from[i]))),
    }
}

fn write<T: Copy, const W: usize>(to: &mut [u8], values: &[T], encode: impl Fn(T) -> [u8; W]) {
    to.as_chunks_mut::<W>().0.iter_mut().zip(values).for_each(|(to, x)| *to = encode(*x));
}

/// The results of an op for `n` tuples of operands: what [`Op::eval`] gives for each, or [`Op::eval_exact`].
///
/// The operands must satisfy [`Op::result_type`], and `result` be what it says.
pub(super) fn apply(op: Op, operands: &[&Column], n: usize, result: DType, mode: Rounding) -> Column {
    let floats = matches!(operands.first(), Some(Column::Float(_)));
    let mut column = match &op.row().eval {
        Eval::Arith { float: Some(f), .. } if floats => Column::Float(over_floats(operands, n, f)),
        Eval::Arith { int: Some(f), .. } => {
            let mut column = Column::Int(over_ints(operands, n, |a| f(a, result)));
            column.round(result);
            return column;
        }
        Eval::Test { float: Some(f), .. } if floats => Column::Int(over_floats(operands, n, |a| f(a).into())),
        Eval::Test { int: Some(f), .. } => Column::Int(over_ints(operands, n, |a| f(a).into())),
        // What the rounding below does to each element, and nothing else.
        _ if op.is(&op::CAST) && floats && result.is_arithmetic_float() && mode == Rounding::EachStatement => {
            operands[0].part(0, n)
        }
        _ => {
            let mut row = [Number::Int(0); MAX_ARITY];
            let results = (0..n).map(|i| {
                operands.iter().zip(&mut row).for_each(|(column, x)| *x = column.get(i));
                op.eval_exact(&row[..operands.len()], result)
            });
            match result.is_float() {
                true => Column::Float(results.map(Number::as_f64).collect()),
                false => Column::Int(results.map(Number::as_i128).collect()),
            }
        }
    };
    if mode == Rounding::EachStatement {
        column.round(result);
    }
    column
}

fn over_floats<R>(operands: &[&Column], n: usize, f: impl Fn(&[f64]) -> R) -> Vec<R> {
    let columns: Vec<_> = operands.iter().map(|c| c.floats(n)).collect();
    over(&columns, n, 0.0, f)
}

fn over_ints<R>(operands: &[&Column], n: usize, f: impl Fn(&[i128]) -> R) -> Vec<R> {
    let columns: Vec<_> = operands.iter().map(|c| c.ints(n)).collect();
    over(&columns, n, 0, f)
}

fn over<T: Copy, R>(columns: &[Cow<'_, [T]>], n: usize, zero: T, f: impl Fn(&[T]) -> R) -> Vec<R>
where
    [T]: ToOwned,
{
    match columns {
        [a] => a.iter().map(|&a| f(&[a])).collect(),
        [a, b] => a.iter().zip(b.iter()).map(|(&a, &b)| f(&[a, b])).collect(),
        _ => {
            let mut row = [zero; MAX_ARITY];
            let tuple = |i: usize| {
                columns.iter().zip(&mut row).for_each(|(column, x)| *x = column[i]);
                f(&row[..columns.len()])
            };
            (0..n).map(tuple).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op;
    use proptest::prelude::*;

    proptest! {
        /// Columns are only a faster way to say `Op::eval`.
        #[test]
        fn columns_agree_with_the_row(bits in prop::collection::vec(any::<u64>(), MAX_ARITY * 3)) {
            for row in op::table() {
                for dtype in DType::ALL {
                    let op = match row.types {
                        op::TypeRule::Convert | op::TypeRule::Quantize => Op::to(row, DType::I8),
                        op::TypeRule::Dequantize => Op::to(row, DType::F32),
                        _ => Op::new(row),
                    };
                    let Some(types) = operand_types(op, dtype) else { continue };
                    let result = op.result_type(&types).unwrap();
                    let operand = |slot: usize, i: usize| Scalar::from_bits(types[slot], bits[slot * 3 + i]).number();
                    let columns: Vec<Column> = (0..types.len())
                        .map(|slot| {
                            let mut column = Column::with_capacity(types[slot], 3);
                            for i in 0..3 {
                                match (&mut column, operand(slot, i)) {
                                    (Column::Float(to), x) => to.push(x.as_f64()),
                                    (Column::Int(to), x) => to.push(x.as_i128()),
                                }
                            }
                            column
                        })
                        .collect();
                    let columns: Vec<&Column> = columns.iter().collect();
                    let rounded = apply(op, &columns, 3, result, Rounding::EachStatement);
                    let exact = apply(op, &columns, 3, result, Rounding::Exact);
                    for i in 0..3 {
                        let tuple: Vec<Number> = (0..types.len()).map(|slot| operand(slot, i)).collect();
                        prop_assert!(same(rounded.get(i), op.eval(&tuple, result)), "{op} {dtype} {tuple:?}");
                        prop_assert!(same(exact.get(i), op.eval_exact(&tuple, result)), "{op} {dtype} {tuple:?}");
                    }
                }
            }
        }

        #[test]
        fn elements_survive_a_column(bits in prop::collection::vec(any::<u64>(), 5)) {
            for dtype in DType::ALL {
                let numbers = bits.iter().map(|b| Scalar::from_bits(dtype, *b).number());
                let tensor = Tensor::from_numbers(dtype, &[5], numbers).unwrap();
                let mut column = Column::with_capacity(dtype, 5);
                column.read(&tensor, Run { base: 4, step: -1, n: 5 });
                let mut bytes = vec![0; 5 * dtype.bytes().unwrap_or(1)];
                column.write(dtype, &mut bytes);
                for (i, element) in bytes.chunks(dtype.bytes().unwrap_or(1)).enumerate() {
                    let mut le = [0; 8];
                    le[..element.len()].copy_from_slice(element);
                    let found = Scalar::from_bits(dtype, u64::from_le_bytes(le)).number();
                    prop_assert!(same(found, tensor.at(4 - i).number()), "{dtype}");
                }
            }
        }
    }

    fn same(a: Number, b: Number) -> bool {
        match (a, b) {
            (Number::Float(x), Number::Float(y)) => x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan()),
            _ => a == b,
        }
    }

    /// Operand types with `first` in slot 0 (slot 1 of a selection), if the op takes them.
    fn operand_types(op: Op, first: DType) -> Option<Vec<DType>> {
        let row = op.row();
        let params = std::iter::repeat_n(DType::F32, row.params.len());
        let tensors = match row.types {
            op::TypeRule::Select => vec![DType::Bool, first, first],
            op::TypeRule::Quantize => vec![first, DType::F32, DType::I8],
            op::TypeRule::Dequantize => vec![first, DType::F32, first],
            _ => vec![first; row.operands.len()],
        };
        let types: Vec<DType> = tensors.into_iter().chain(params).collect();
        op.result_type(&types).is_ok().then_some(types)
    }
}
