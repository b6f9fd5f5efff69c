//! Pages for people: one self-contained HTML file each, light or dark as the reader's system is, with plots as SVG. Nothing is loaded from
//! elsewhere, and no script runs.
//!
//! A page's numbers and the places of its marks are computed here; the templates only write them down, and escape every text.

mod plot;
mod quantization;
mod sensitivity;

pub use quantization::quantization;
pub use sensitivity::sensitivity;

use std::sync::LazyLock;
use tera::{Context, Tera};

/// Each template and its text. Names in `.html` make Tera escape what is filled in. A template comes after those it includes.
const TEMPLATES: [(&str, &str); 5] = [
    ("page.html", include_str!("../../../templates/pages/page.html")),
    ("style.html", include_str!("../../../templates/pages/style.html")),
    ("histogram.html", include_str!("../../../templates/pages/histogram.html")),
    ("quantization.html", include_str!("../../../templates/pages/quantization.html")),
    ("sensitivity.html", include_str!("../../../templates/pages/sensitivity.html")),
];

/// A template that can't be read or filled: a mistake of pointweld's, not of the data.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the page can't be made: {0}; this is a mistake of pointweld, please report it")]
pub struct PageError(String);

static TERA: LazyLock<Result<Tera, PageError>> = LazyLock::new(|| {
    let mut tera = Tera::new();
    tera.add_raw_templates(TEMPLATES).map_err(|error| wrong(&error))?;
    Ok(tera)
});

fn wrong(error: &tera::Error) -> PageError {
    // Tera says which variable is missing in the source of its error.
    let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    PageError(format!("{error}{source}"))
}

fn render(template: &str, data: &impl serde::Serialize) -> Result<String, PageError> {
    let tera = TERA.as_ref().map_err(PageError::clone)?;
    let context = Context::from_serialize(data).map_err(|error| wrong(&error))?;
    tera.render(template, &context).map_err(|error| wrong(&error))
}

/// dB as people read them.
fn decibels(db: f64) -> String {
    match db {
        f64::INFINITY => "exact".into(),
        f64::NEG_INFINITY => "lost".into(),
        db if db.is_nan() => "–".into(),
        db => format!("{db:.1}"),
    }
}

/// A share as a percentage.
fn percent(share: f64) -> String {
    match 100.0 * share {
        0.0 => "0".into(),
        p if p.abs() < 0.01 => "<0.01 %".into(),
        p if p.abs() < 1.0 => format!("{p:.2} %"),
        p => format!("{p:.1} %"),
    }
}

/// A number with four significant digits.
fn number(x: f64) -> String {
    let size = x.abs();
    if x == 0.0 {
        "0".into()
    } else if !(1e-4..1e5).contains(&size) {
        format!("{x:.3e}")
    } else {
        let digits = (3 - size.log10().floor() as i32).max(0) as usize;
        let text = format!("{x:.digits$}");
        match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').into(),
            false => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_parses() {
        assert!(TERA.is_ok(), "{:?}", TERA.as_ref().err());
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 1.0, -0.278_464, 1234.5678, 0.000_012, 4e9, 99_999.0].map(number);
        assert_eq!(shown, ["0", "1", "-0.2785", "1235", "1.200e-5", "4.000e9", "99999"]);
        assert_eq!([0.5, 0.004, 0.000_02, 0.0].map(percent), ["50.0 %", "0.40 %", "<0.01 %", "0"]);
        assert_eq!([f64::INFINITY, 30.04].map(decibels), ["exact", "30.0"]);
    }
}
