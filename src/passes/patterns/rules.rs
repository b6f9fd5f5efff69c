//! The rules, in the order in which they are tried at a node: the longer before what it contains.
//!
//! Rules work from the inside out, because a node is looked at after its operands. `x * relu6(x + 3) / 6` is first
//! `x * clip(x + 3, 0, 6) / 6` and then `hard_swish(x)`, so that each step is written once.

use super::{Claim, Rule, RuleError};
use Claim::Exact;
use std::sync::LazyLock;

/// A rule as it is written here.
struct Text {
    name: &'static str,
    rule: &'static str,
    source: &'static str,
    claim: Claim,
    except: &'static str,
}

const fn rule(name: &'static str, rule: &'static str, source: &'static str, claim: Claim) -> Text {
    Text { name, rule, source, claim, except: "" }
}

impl Text {
    const fn except(self, except: &'static str) -> Text {
        Text { except, ..self }
    }
}

const fn within(ulp: f64, input: f64, constant: f64) -> Claim {
    Claim::Within { ulp, input, constant }
}

const SIGN: &str = "the sign of zero, and −inf, which the power takes to +inf";

static TEXTS: &[Text] = &[
    // Activations with a gate.
    rule(
        "silu",
        "x * sigmoid(x) => silu(x)",
        "PyTorch and Keras before opset 24's Swish; every YOLO since v5",
        within(1.5, 0.0, 0.0),
    ),
    rule(
        "silu_divided",
        "x / (1 + exp(-x)) => silu(x)",
        "SiLU from its definition, by hand and from older TensorFlow",
        within(3.0, 1.0, 0.0),
    ),
    rule(
        "swish",
        "x * sigmoid(x * $b) => swish(x, $b)",
        "Swish with beta; QuickGELU, x*sigmoid(1.702*x), of CLIP",
        within(2.0, 2.0, 0.0),
    ),
    rule("mish", "x * tanh(softplus(x)) => mish(x)", "PyTorch before opset 18's Mish; YOLOv4", within(3.0, 0.0, 0.0)),
    rule(
        "hard_swish",
        "x * clip(x + 3, 0, 6) / 6 => hard_swish(x)",
        "PyTorch and Paddle before opset 14's HardSwish; MobileNetV3 with ReLU6",
        within(2.0, 1.0, 0.0),
    ),
    rule(
        "hard_swish_gated",
        "x * hard_sigmoid(x, 1/6, 1/2) => hard_swish(x)",
        "PyTorch at opset 13 and below, Keras",
        within(1.5, 1.0, 0.0),
    ),
    rule(
        "gelu",
        "0.5 * x * (1 + erf(x / sqrt(2))) => gelu(x)",
        "PyTorch, Paddle and Hugging Face before opset 20's Gelu",
        within(2.0, 1.0, 0.0),
    ),
    rule(
        "gelu_tanh",
        "0.5 * x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x^3))) => gelu_tanh(x)",
        "GPT-2, BERT's gelu_new, PyTorch's approximate='tanh'",
        within(2.0, 2.0, 0.0),
    ),
    rule(
        "gelu_tanh_factored",
        "0.5 * x * (1 + tanh(sqrt(2/pi) * x * (1 + 0.044715 * x^2))) => gelu_tanh(x)",
        "Hugging Face's gelu_fast, Megatron",
        within(2.0, 2.0, 0.0),
    ),
    rule(
        "gelu_tanh_sigmoid",
        "x * sigmoid(sqrt(8/pi) * (x + 0.044715 * x^3)) => gelu_tanh(x)",
        "JAX and TensorFlow's simplified tanh",
        within(2.0, 2.0, 0.0),
    ),
    // Activations of one piece.
    rule("sigmoid", "1 / (1 + exp(-x)) => sigmoid(x)", "sigmoid from its definition", within(2.0, 1.0, 0.0)),
    rule(
        "sigmoid_reciprocal",
        "reciprocal(1 + exp(-x)) => sigmoid(x)",
        "sigmoid from its definition",
        within(2.0, 1.0, 0.0),
    ),
    rule("sigmoid_tanh", "0.5 * (1 + tanh(x / 2)) => sigmoid(x)", "hardware with a tanh alone", within(1.0, 0.0, 1.0)),
    rule(
        "sigmoid_tanh_spread",
        "0.5 * tanh(x / 2) + 0.5 => sigmoid(x)",
        "hardware with a tanh alone",
        within(1.0, 0.0, 1.0),
    ),
    rule(
        "tanh_sigmoid",
        "2 * sigmoid(2 * x) - 1 => tanh(x)",
        "recurrent cells written with one gate function",
        within(1.0, 0.0, 2.0),
    ),
    rule(
        "softplus",
        "log(1 + exp(x)) => softplus(x)",
        "Keras and older PyTorch; half of a written-out Mish",
        within(2.0, 2.0, 0.0),
    ),
    rule("softsign", "x / (1 + abs(x)) => softsign(x)", "PyTorch, which has no symbol for it", within(1.5, 0.0, 0.0)),
    rule(
        "hard_sigmoid",
        "clip(x + 3, 0, 6) / 6 => hard_sigmoid(x, 1/6, 1/2)",
        "PyTorch's Hardsigmoid and MobileNetV3's with ReLU6",
        within(1.0, 2.0, 0.0),
    ),
    rule(
        "hard_sigmoid_sixth",
        "clip(x / 6 + 0.5, 0, 1) => hard_sigmoid(x, 1/6, 1/2)",
        "Keras 3's hard_sigmoid",
        within(1.0, 2.0, 0.0),
    ),
    rule(
        "hard_sigmoid_scaled",
        "clip(x * $a + $b, 0, 1) => hard_sigmoid(x, $a, $b)",
        "Keras 2's hard_sigmoid: 0.2*x + 0.5",
        within(1.0, 1.0, 1.0),
    ),
    rule(
        "leaky_relu",
        "max(x, x * $a) => leaky_relu(x, $a) if 0 < $a and $a <= 1",
        "TensorFlow and hand-written models",
        Exact,
    ),
    rule(
        "leaky_relu_greater",
        "where(greater(x, 0), x, x * $a) => leaky_relu(x, $a) if 0 < $a",
        "scripted PyTorch",
        Exact,
    ),
    rule(
        "leaky_relu_not_less",
        "where(greater_or_equal(x, 0), x, x * $a) => leaky_relu(x, $a)",
        "scripted PyTorch, JAX",
        Exact,
    ),
    rule("leaky_relu_less", "where(less(x, 0), x * $a, x) => leaky_relu(x, $a)", "scripted PyTorch", Exact),
    rule(
        "elu_greater",
        "where(greater(x, 0), x, $a * (exp(x) - 1)) => elu(x, $a)",
        "JAX and scripted PyTorch",
        within(2.0, 0.0, 1.0),
    ),
    rule(
        "elu_one_greater",
        "where(greater(x, 0), x, exp(x) - 1) => elu(x, 1)",
        "JAX and scripted PyTorch",
        within(2.0, 0.0, 1.0),
    ),
    rule(
        "elu",
        "relu(x) + min($a * (exp(x) - 1), 0) => elu(x, $a) if 0 <= $a",
        "TensorFlow's lowering of elu",
        within(2.0, 0.0, 1.0),
    ),
    rule(
        "celu",
        "relu(x) + min($a * (exp(x / $a) - 1), 0) => celu(x, $a) if 0 < $a",
        "celu from its definition",
        within(2.0, 0.0, 1.0),
    ),
    rule("selu", "$g * elu(x, $a) => selu(x, $a, $g)", "TensorFlow's lowering of selu", within(1.5, 0.0, 0.0)),
    // Bounds.
    rule("relu_max", "max(x, 0) => relu(x)", "Keras, tf2onnx, hand-written models", Exact),
    rule("relu6", "min(relu(x), $hi) => clip(x, 0, $hi)", "ReLU6 of TensorFlow and of PyTorch below opset 11", Exact),
    rule("relu_of_min", "relu(min(x, $hi)) => clip(x, 0, $hi) if 0 < $hi", "ReLU6 the other way round", Exact),
    rule(
        "relu_clip",
        "clip(relu(x), $lo, $hi) => clip(x, 0, $hi) if $lo <= 0",
        "a ReLU before a Clip to [0, 6]",
        Exact,
    ),
    rule(
        "clip_relu",
        "relu(clip(x, $lo, $hi)) => clip(x, 0, $hi) if $lo <= 0 and 0 < $hi",
        "a Clip before a ReLU",
        Exact,
    ),
    rule(
        "clip_min_max",
        "min(max(x, $lo), $hi) => clip(x, $lo, $hi)",
        "PyTorch's clamp with tensors, tf2onnx, TFLite",
        Exact,
    ),
    rule(
        "clip_max_min",
        "max(min(x, $hi), $lo) => clip(x, $lo, $hi) if $lo < $hi",
        "tf.clip_by_value and NumPy's habit",
        Exact,
    ),
    // Powers.
    rule("square", "x ^ 2 => x * x", "tf2onnx, normalisations written out", Exact),
    rule("sqrt", "x ^ 0.5 => sqrt(x)", "scripted PyTorch", Exact).except(SIGN),
    rule("rsqrt_power", "x ^ -0.5 => rsqrt(x)", "RMSNorm written out", within(1.0, 0.0, 0.0)),
    rule("rsqrt", "1 / sqrt(x) => rsqrt(x)", "PyTorch's rsqrt", within(1.5, 0.0, 0.0)),
    rule("rsqrt_reciprocal", "reciprocal(sqrt(x)) => rsqrt(x)", "tf2onnx's Rsqrt", within(1.5, 0.0, 0.0)),
    rule("reciprocal_power", "x ^ -1 => reciprocal(x)", "scripted PyTorch", Exact),
    rule("reciprocal", "1 / x => reciprocal(x)", "every exporter", Exact),
    // Signs and selections.
    rule("add_neg", "x + neg(y) => x - y", "what is left when a negation meets a sum", Exact),
    rule("sub_neg", "x - neg(y) => x + y", "what is left when a negation meets a sum", Exact),
    rule("times_minus_one", "x * -1 => neg(x)", "exporters without Neg", Exact),
    rule("abs_neg", "abs(neg(x)) => abs(x)", "distances written out", Exact),
    rule("not_equal", "not(equal(x, y)) => not_equal(x, y)", "PyTorch's ne, for which ONNX has no op", Exact),
    rule(
        "not_not_equal",
        "not(not_equal(x, y)) => equal(x, y)",
        "what is left when not_equal meets a second Not",
        Exact,
    ),
    rule("where_equal", "where(c, x, x) => x", "what is left of a mask that folding made trivial", Exact),
    rule("where_not", "where(not(c), x, y) => where(c, y, x)", "masked_fill with an inverted mask", Exact),
];

static RULES: LazyLock<Result<Vec<Rule>, (&'static str, RuleError)>> = LazyLock::new(|| {
    let read = |t: &Text| Rule::parse(t.name, t.rule, t.source, t.claim, t.except).map_err(|error| (t.name, error));
    TEXTS.iter().map(read).collect()
});

/// Every built-in rule, or the one that can't be read and why (a test keeps that from being shipped).
pub fn builtin() -> Result<&'static [Rule], (&'static str, RuleError)> {
    RULES.as_deref().map_err(Clone::clone)
}
