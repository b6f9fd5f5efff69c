//! The guard of a quantization whose operand carries the error of f32 arithmetic.
//!
//! The exact quotient lies in an interval around the computed one, as wide as the error allows. Both ends are rounded and saturated by the
//! instructions that pack codes anyway, two codes an instruction; where they become the same code, it is the exact one, and where they
//! differ the element is computed again in f64. Beyond the codes' range both ends saturate alike.

use super::{Body, Writer, ordinary};
use crate::emit::params::Param;
use crate::emit::{literal, names};
use crate::plan::{Arg, Rounding, Stmt};

impl Writer<'_> {
    /// The lines of a guarded quantization of `x`, a float.
    pub(super) fn guard(&mut self, i: usize, stmt: &Stmt, x: &str) {
        let kernel = self.kernel;
        let Rounding::Guarded { finite, .. } = kernel.schedule.rounding_of(i) else { return };
        let (upper, lower) = (names::value(i, stmt.op), names::of_value(i, "lower"));
        let (low, high) = stmt.dtype.int_range().unwrap_or((0, 0));
        if !ordinary(stmt.args[1]) {
            // No float holds the inverse: every element goes through f64.
            self.body.doubts.push("1.0f".to_owned());
            self.line("float", upper.clone(), "0.0f");
            return self.clamped(i, &upper, stmt.dtype);
        }
        let inverse = self.inverse(i, stmt.args[1]);
        let (above, below) = self.ends(i, stmt, x, &inverse);
        self.line("float", upper.clone(), &format!("fmaf({x}, {inverse}, {above})"));
        self.line("float", lower.clone(), &format!("fmaf({x}, {inverse}, {below})"));
        if !finite {
            self.body.watched.push(upper.clone());
        }
        if self.uses_of_code(i) == (false, false) {
            self.lower.insert(i, lower);
            return;
        }
        self.body.doubts.push(apart(&upper, &lower, low, high));
        self.clamped(i, &format!("nearest({upper})"), stmt.dtype);
    }

    /// What is added to the scaled operand for the upper and for the lower end: the zero point and the margin.
    fn ends(&mut self, i: usize, stmt: &Stmt, x: &str, inverse: &str) -> (String, String) {
        let Rounding::Guarded { absolute, relative, spread, of, .. } = self.kernel.schedule.rounding_of(i) else {
            return Default::default();
        };
        let [absolute, relative, spread] = [absolute, relative, spread].map(|error| error.as_f64());
        let name = |what| names::of_value(i, what);
        let (low, high) = stmt.dtype.int_range().map_or((0.0, 0.0), |(low, high)| (low as f64, high as f64));
        let zero = match stmt.args[2] {
            Arg::Const(scalar) => Some(scalar.as_f64()),
            _ => None,
        };
        // How far a code lies from the zero point, and the zero point from 0: beyond that, quotients saturate.
        let (reach, offset) = match zero {
            Some(zero) => ((zero - low).max(high - zero) + 1.0, zero.abs()),
            None => (high - low + 1.0, high.max(-low)),
        };
        // Two roundings of the inverse, one of each end, and of the constant in it.
        let mut margin = (reach + offset + 1.0) * f64::from(f32::EPSILON);
        // For 8 bits the relative error is taken where it is largest; for 16 that would be too much of a code.
        let narrow = stmt.dtype.bits() <= 8;
        if narrow {
            margin += relative * reach;
        }
        let scale = match stmt.args[1] {
            Arg::Const(scalar) => Some(f64::from(scalar.as_f64() as f32).abs()),
            _ => None,
        };
        margin += scale.map_or(0.0, |scale| absolute / scale);
        // A thousandth for what is of second order.
        let up = |error: f64| (1.001 * error) as f32;
        let mut grows = Vec::new();
        for (what, error, size) in [
            ("spread", spread, largest(self, of)),
            ("slope", if narrow { 0.0 } else { relative }, format!("fabsf({x})")),
        ] {
            if error == 0.0 {
                continue;
            }
            grows.push(match scale {
                Some(scale) => {
                    self.param(Param::float(name(what), up(error / scale)));
                    format!("{} * {size}", name(what))
                }
                None => format!("{} * fabsf({inverse}) * {size}", literal::float(up(error))),
            });
        }
        if let (Some(zero), Some(_), true) = (zero, scale, grows.is_empty()) {
            self.param(Param::float(name("above"), (zero + f64::from(up(margin))) as f32));
            self.param(Param::float(name("below"), (zero - f64::from(up(margin))) as f32));
            return (name("above"), name("below"));
        }
        self.param(Param::float(name("margin"), up(margin)));
        let mut sum = name("margin");
        if scale.is_none() && absolute != 0.0 {
            sum = format!("fmaf({}, fabsf({inverse}), {sum})", literal::float(up(absolute)));
        }
        let sum = grows.into_iter().fold(sum, |sum, term| format!("{term} + {sum}"));
        let within = if sum == name("margin") { sum.clone() } else { name("within") };
        if within == name("within") {
            self.line("float", within.clone(), &sum);
        }
        match self.zero_point(i, stmt.args[2]) {
            None => (within.clone(), format!("-{within}")),
            Some(zero) => (format!("{zero} + {within}"), format!("{zero} - {within}")),
        }
    }

    /// The inverse of a scale, rounded: a parameter, or computed where the scale is known at run time only.
    pub(super) fn inverse(&mut self, i: usize, scale: Arg) -> String {
        let name = names::of_value(i, "inverse");
        match scale {
            Arg::Const(scalar) => self.param(Param::float(name.clone(), 1.0 / scalar.as_f64() as f32)),
            _ => {
                let scale = self.float_operand(i, "scale", scale);
                self.line("float", name.clone(), &format!("__frcp_rn({scale})"));
            }
        }
        name
    }
}

impl Body {
    /// Whether any element may have to be computed again in f64.
    pub fn is_guarded(&self) -> bool {
        !self.doubts.is_empty() || !self.far.is_empty() || self.outputs.iter().any(|output| output.lower.is_some())
    }
}

/// The largest magnitude among values.
fn largest(writer: &mut Writer, of: &[Arg]) -> String {
    let sizes: Vec<String> = of.iter().map(|arg| format!("fabsf({})", writer.float_arg(*arg))).collect();
    sizes.into_iter().reduce(|a, b| format!("fmaxf({a}, {b})")).unwrap_or_default()
}

/// Negative where both ends become the same code.
pub fn apart(upper: &str, lower: &str, low: i128, high: i128) -> String {
    let [low, high] = [low, high].map(|end| literal::float(end as f32));
    format!("apart({upper}, {lower}, {low}, {high})")
}
