//! The Tera templates: skeletons of kernels, embedded in the program.

use std::sync::LazyLock;
use tera::{Context, Tera};

/// Each skeleton and its text.
const TEMPLATES: [(&str, &str); 1] = [("flat", include_str!("../../templates/flat.cu.tera"))];

static TERA: LazyLock<Result<Tera, String>> = LazyLock::new(|| {
    let mut tera = Tera::new();
    // Kernels are no HTML.
    tera.autoescape_on(Vec::<&'static str>::new());
    tera.add_raw_templates(TEMPLATES).map_err(|error| error.to_string())?;
    Ok(tera)
});

/// Fills the skeleton `name`.
pub fn render(name: &str, context: &Context) -> Result<String, String> {
    let tera = TERA.as_ref().map_err(String::clone)?;
    tera.render(name, context).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_parses() {
        assert!(TERA.is_ok(), "{:?}", TERA.as_ref().err());
    }
}
