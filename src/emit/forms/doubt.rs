//! Which elements of a vector f32 leaves open, as bits of a word, so that they alone are computed again in f64.

use super::Parts;
use crate::emit::body::{WITHIN, guard};
use crate::emit::{literal, names};
use crate::plan::LARGEST_FACTOR;
use serde::Serialize;
use tera::Context;

/// What a skeleton does to find the elements in doubt.
#[derive(Default)]
pub struct Doubts {
    /// Words whose bit for an element is set where it is settled.
    settled: Vec<String>,
    pinched: Vec<Pinched>,
    watch: bool,
    far: bool,
    steady: bool,
    guarded: bool,
}

/// Both ends of a vector of codes, packed: where they differ, the code is open.
#[derive(Serialize)]
struct Pinched {
    upper: String,
    lower: String,
    bytes: u64,
}

impl Doubts {
    /// The doubts within the body, whose lines are [`Parts::statements`].
    pub fn new(parts: &Parts) -> Doubts {
        let guarded = parts.exact.is_some();
        let settled = (0..if guarded { parts.body.doubts.len() } else { 0 }).map(settled).collect();
        let watch = guarded && !parts.body.watched.is_empty();
        let far = guarded && !parts.body.far.is_empty();
        let steady = guarded && !parts.body.steady.is_empty();
        Doubts { settled, pinched: Vec::new(), watch, far, steady, guarded }
    }

    /// The lines that keep and pack the lower end of store `i`, whose codes are packed as a vector: what declares it, what an element
    /// adds, what packs it.
    pub fn vector(&mut self, parts: &Parts, i: usize, vector: u32) -> Option<[String; 3]> {
        let output = &parts.body.outputs[i];
        let lower = output.lower.as_ref().filter(|_| self.guarded)?;
        let (elements, words) = (names::store_lower_elements(i), names::store_lower_words(i));
        let pinched = Pinched { upper: names::store_words(i), lower: words.clone(), bytes: parts.store_bytes(i) };
        self.pinched.push(pinched);
        Some([
            format!("{} {elements}[{vector}];", output.c_type),
            format!("{elements}[e] = {lower};"),
            format!("const auto {words} = {}({elements});", output.packer),
        ])
    }

    /// The line that notes whether an element of store `i` is settled, whose codes are stored one by one.
    pub fn element(&mut self, parts: &Parts, i: usize) -> Option<String> {
        let output = &parts.body.outputs[i];
        let lower = output.lower.as_ref().filter(|_| self.guarded)?;
        let (low, high) = parts.kernel.stores[i].dtype.int_range()?;
        let word = settled(self.settled.len());
        let line = note(&word, &guard::apart(&output.value, lower, low, high));
        self.settled.push(word);
        Some(line)
    }

    /// Tells the skeleton.
    pub fn insert(&self, context: &mut Context) {
        context.insert("doubtful", &self.guarded);
        context.insert("settled", &self.settled);
        context.insert("pinched", &self.pinched);
        context.insert("watch", &self.watch);
        context.insert("far", &self.far);
        context.insert("steady", &self.steady);
        context.insert("within", &WITHIN);
        context.insert("largest_factor", &literal::float(LARGEST_FACTOR as f32));
    }
}

fn settled(i: usize) -> String {
    format!("settled{i}")
}

/// Shifts the sign of `doubt` into a word of bits.
fn note(word: &str, doubt: &str) -> String {
    format!("{word} = __funnelshift_l(__float_as_uint({doubt}), {word}, 1u);")
}

/// The lines that note an element's doubts within the body.
pub fn notes(parts: &Parts) -> Vec<String> {
    let mut lines: Vec<String> =
        parts.body.doubts.iter().enumerate().map(|(i, doubt)| note(&settled(i), doubt)).collect();
    // Infinity times zero is NaN, and stays.
    lines.extend(parts.body.watched.iter().map(|value| format!("watch = fmaf({value}, 0.0f, watch);")));
    lines.extend(parts.body.far.iter().map(|word| format!("far |= {word};")));
    // A sum of magnitudes is below the limit only if each of them is, and NaN and infinity stay.
    lines.extend(parts.body.steady.iter().map(|value| format!("steady += fabsf({value});")));
    lines
}
