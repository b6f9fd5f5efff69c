//! The rules, in the order in which they are tried at a node.

use super::{Claim, Rule, RuleError};
use std::sync::LazyLock;

/// A rule as it is written here.
struct Text(&'static str, &'static str, &'static str, Claim, &'static str);

const fn within(ulp: f64, input: f64) -> Claim {
    Claim::Within { ulp, input }
}

/// Where a written-out form multiplies infinity by 0, it gives NaN and the op its limit.
const AT_INFINITY: &str = "at an infinite x the written form may be NaN where the op gives its limit";

static TEXTS: &[Text] = &[Text(
    "silu",
    "x * sigmoid(x) => silu(x)",
    "PyTorch and Keras before Swish of opset 24, every YOLO since v5",
    within(2.0, 0.0),
    AT_INFINITY,
)];

static RULES: LazyLock<Result<Vec<Rule>, (&'static str, RuleError)>> = LazyLock::new(|| {
    let rule = |t: &Text| Rule::parse(t.0, t.1, t.2, t.3, t.4).map_err(|error| (t.0, error));
    TEXTS.iter().map(rule).collect()
});

/// Every built-in rule, or the one that can't be read and why (a test keeps that from being shipped).
pub fn builtin() -> Result<&'static [Rule], (&'static str, RuleError)> {
    RULES.as_deref().map_err(Clone::clone)
}
