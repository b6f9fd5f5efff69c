//! The Tera templates: skeletons of kernels, embedded in the program. They hold loops, loads, stores and barriers; what is computed
//! comes to them as lines.

use std::sync::LazyLock;
use tera::{Context, Tera};

/// Each skeleton and its text. A skeleton comes after the parts it includes.
const TEMPLATES: [(&str, &str); 31] = [
    ("wait", include_str!("../../templates/wait.tera")),
    ("signature", include_str!("../../templates/signature.tera")),
    ("loads", include_str!("../../templates/loads.tera")),
    ("element", include_str!("../../templates/element.tera")),
    ("stage", include_str!("../../templates/stage.tera")),
    ("staged", include_str!("../../templates/staged.tera")),
    ("channels", include_str!("../../templates/channels.cu.tera")),
    ("codes16", include_str!("../../templates/codes16.cu.tera")),
    ("flat", include_str!("../../templates/flat.cu.tera")),
    ("rows", include_str!("../../templates/rows.cu.tera")),
    ("transposed", include_str!("../../templates/transposed.cu.tera")),
    ("routines/head", include_str!("../../templates/routines/head.tera")),
    ("routines/conv", include_str!("../../templates/routines/conv.cu.tera")),
    ("routines/lanes", include_str!("../../templates/routines/lanes.cu.tera")),
    ("routines/map", include_str!("../../templates/routines/map.cu.tera")),
    ("routines/pool", include_str!("../../templates/routines/pool.cu.tera")),
    ("routines/product", include_str!("../../templates/routines/product.cu.tera")),
    ("routines/scan", include_str!("../../templates/routines/scan.cu.tera")),
    ("routines/topk", include_str!("../../templates/routines/topk.cu.tera")),
    ("product/place", include_str!("../../templates/product/place.tera")),
    ("product/columns", include_str!("../../templates/product/columns.tera")),
    ("product/multiply", include_str!("../../templates/product/multiply.tera")),
    ("product/tile", include_str!("../../templates/product/tile.tera")),
    ("product/mma", include_str!("../../templates/product/mma.tera")),
    ("product/split", include_str!("../../templates/product/split.tera")),
    ("product/wgmma", include_str!("../../templates/product/wgmma.tera")),
    ("product/epilogue", include_str!("../../templates/product/epilogue.tera")),
    ("product/specialised", include_str!("../../templates/product/specialised.tera")),
    ("product", include_str!("../../templates/product.cu.tera")),
    ("patch", include_str!("../../templates/patch.cu.tera")),
    ("depthwise", include_str!("../../templates/depthwise.cu.tera")),
];

static TERA: LazyLock<Result<Tera, String>> = LazyLock::new(|| {
    let mut tera = Tera::new();
    // Kernels are no HTML.
    tera.autoescape_on(Vec::<&'static str>::new());
    tera.add_raw_templates(TEMPLATES).map_err(|error| error.to_string())?;
    Ok(tera)
});

/// Parses the skeletons, which takes some milliseconds, if that is not yet done.
pub fn load() {
    LazyLock::force(&TERA);
}

/// Fills the skeleton `name` and indents the text.
pub fn render(name: &str, context: &Context) -> Result<String, String> {
    let tera = TERA.as_ref().map_err(String::clone)?;
    tera.render(name, context).map(|text| indented(&text)).map_err(|error| error.to_string())
}

/// The text with every line indented by the depth of its braces and parentheses. Preprocessor lines stay at the margin, and
/// empty lines only stand outside of braces.
fn indented(text: &str) -> String {
    let mut result = String::with_capacity(text.len() * 5 / 4);
    let mut depth = 0usize;
    let mut parentheses = 0usize;
    for line in text.trim_start().lines().map(str::trim) {
        if line.is_empty() {
            if depth == 0 && !result.ends_with("\n\n") {
                result.push('\n');
            }
            continue;
        }
        let code = line.split("//").next().unwrap_or_default();
        let closes = code.chars().take_while(|c| *c == '}').count();
        let margin = if line.starts_with('#') { 0 } else { 2 * (depth.saturating_sub(closes)) + 4 * parentheses };
        result.extend(std::iter::repeat_n(' ', margin));
        result.push_str(line);
        result.push('\n');
        for c in code.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                '(' => parentheses += 1,
                ')' => parentheses = parentheses.saturating_sub(1),
                _ => {}
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_parses() {
        assert!(TERA.is_ok(), "{:?}", TERA.as_ref().err());
    }

    #[test]
    fn lines_are_indented_by_their_depth() {
        let text =
            "\nvoid f(\nint a) {\n#pragma unroll\nfor (;;) {\n\n\ng();\n}\nif (a) {\n} else {\nh(); // {\n}\n}\n";
        let wanted = "void f(\n    int a) {\n#pragma unroll\n  for (;;) {\n    g();\n  }\n  if (a) {\n  } else {\n    h(); // {\n  }\n}\n";
        assert_eq!(indented(text), wanted);
    }
}
