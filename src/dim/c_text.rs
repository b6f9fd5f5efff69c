//! A dimension as a C expression, for headers that other engines include.

use super::{Atom, Dim};
use std::fmt::Write;

impl Dim {
    /// The formula in C, in `int64_t` arithmetic. `symbol` gives each symbol's C identifier; `pw_floor_div`, `pw_max` and `pw_min`
    /// are functions of two `int64_t`s that the header defines.
    pub fn to_c(&self, symbol: &dyn Fn(&str) -> String) -> String {
        let mut text = String::new();
        for (monomial, c) in &self.terms {
            if !text.is_empty() {
                text.push_str(" + ");
            }
            _ = write!(text, "INT64_C({c})");
            for atom in monomial {
                _ = write!(text, "*{}", atom.to_c(symbol));
            }
        }
        match (self.constant, text.is_empty()) {
            (0, false) => {}
            (c, true) => _ = write!(text, "INT64_C({c})"),
            (c, false) => _ = write!(text, " + INT64_C({c})"),
        }
        text
    }
}

impl Atom {
    fn to_c(&self, symbol: &dyn Fn(&str) -> String) -> String {
        let call = |name, a: &Dim, b: &Dim| format!("{name}({}, {})", a.to_c(symbol), b.to_c(symbol));
        match self {
            Atom::Symbol(name) => symbol(name),
            Atom::Floor(a, b) => call("pw_floor_div", a, b),
            Atom::Max(a, b) => call("pw_max", a, b),
            Atom::Min(a, b) => call("pw_min", a, b),
        }
    }
}
