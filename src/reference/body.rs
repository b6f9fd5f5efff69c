//! Evaluates a kernel's body.

use super::column::{Column, apply};
use super::{KernelError, Rounding};
use crate::dtype::DType;
use crate::op::MAX_ARITY;
use crate::plan::{Arg, Kernel};
use crate::scalar::Number;

/// The values that a kernel stores for one tuple of loads, each rounded to its store's type, in the order of
/// [`Kernel::stores`].
///
/// # Panics
/// If the kernel is not valid (see [`check`]) or `loads` has not one number for each of its loads and, if it has a product, the
/// accumulator as the last.
pub fn eval(kernel: &Kernel, loads: &[Number], mode: Rounding) -> Vec<Number> {
    let statements = statements(kernel, loads, mode);
    let store = |store: &crate::plan::Store| value(store.value, loads, &statements).rounded_to(store.dtype);
    kernel.stores.iter().map(store).collect()
}

/// The value of every statement of the body for one tuple of loads.
///
/// # Panics
/// As [`eval`].
pub fn statements(kernel: &Kernel, loads: &[Number], mode: Rounding) -> Vec<Number> {
    let mut results = Vec::with_capacity(kernel.body.len());
    for stmt in &kernel.body {
        let mut args = [Number::Int(0); MAX_ARITY];
        stmt.args.iter().zip(&mut args).for_each(|(arg, x)| *x = value(*arg, loads, &results));
        let args = &args[..stmt.args.len()];
        results.push(match mode {
            Rounding::EachStatement => stmt.op.eval(args, stmt.dtype),
            Rounding::Exact => stmt.op.eval_exact(args, stmt.dtype),
        });
    }
    results
}

fn value(arg: Arg, loads: &[Number], statements: &[Number]) -> Number {
    match arg {
        Arg::Load(i) => loads[i as usize],
        Arg::Product => loads[loads.len() - 1],
        Arg::Stmt(i) => statements[i as usize],
        Arg::Const(scalar) => scalar.number(),
    }
}

/// Checks what [`eval`] relies on: each statement's arguments come before it, their types suit its op, and its type is the op's
/// result type.
pub fn check(kernel: &Kernel) -> Result<(), KernelError> {
    let ordered = |stmt: usize, arg: &Arg| match arg {
        Arg::Load(i) => (*i as usize) < kernel.loads.len(),
        Arg::Product => kernel.product.is_some(),
        Arg::Stmt(i) => (*i as usize) < stmt,
        Arg::Const(_) => true,
    };
    let wrong = |stmt: usize, arg: &Arg| KernelError::Order { stmt, arg: format!("{arg:?}") };
    for (i, stmt) in kernel.body.iter().enumerate() {
        if let Some(arg) = stmt.args.iter().find(|arg| !ordered(i, arg)) {
            return Err(wrong(i, arg));
        }
        let types: Vec<DType> = stmt.args.iter().map(|arg| kernel.arg_dtype(*arg)).collect();
        let result = stmt.op.result_type(&types)?;
        if result != stmt.dtype {
            return Err(KernelError::Type { name: stmt.name.clone(), buffer: result, access: stmt.dtype });
        }
    }
    let all = kernel.body.len();
    for store in &kernel.stores {
        if !ordered(all, &store.value) {
            return Err(wrong(all, &store.value));
        }
        let dtype = kernel.arg_dtype(store.value);
        if dtype != store.dtype {
            return Err(KernelError::Type { name: "a stored value".into(), buffer: store.dtype, access: dtype });
        }
    }
    Ok(())
}

/// [`eval`] for `n` tuples at once, one column a load and, last, one of the accumulators if the kernel has a product; the stored columns are not yet rounded to their types.
pub(super) fn columns(kernel: &Kernel, loads: &[Column], n: usize, mode: Rounding) -> Vec<Column> {
    let mut results: Vec<Column> = Vec::with_capacity(kernel.body.len());
    for stmt in &kernel.body {
        let args: Vec<Source> = stmt.args.iter().map(|arg| source(*arg, loads, &results, n)).collect();
        let args: Vec<&Column> = args.iter().map(Source::column).collect();
        results.push(apply(stmt.op, &args, n, stmt.dtype, mode));
    }
    let stored = |store: &crate::plan::Store| match source(store.value, loads, &results, n) {
        Source::Computed(column) => column.clone(),
        Source::Constant(column) => column,
    };
    kernel.stores.iter().map(stored).collect()
}

enum Source<'a> {
    Computed(&'a Column),
    Constant(Column),
}

impl Source<'_> {
    fn column(&self) -> &Column {
        match self {
            Source::Computed(column) => column,
            Source::Constant(column) => column,
        }
    }
}

fn source<'a>(arg: Arg, loads: &'a [Column], statements: &'a [Column], n: usize) -> Source<'a> {
    match arg {
        Arg::Load(i) => Source::Computed(&loads[i as usize]),
        Arg::Product => Source::Computed(&loads[loads.len() - 1]),
        Arg::Stmt(i) => Source::Computed(&statements[i as usize]),
        Arg::Const(scalar) => Source::Constant(Column::splat(scalar.number(), n)),
    }
}
