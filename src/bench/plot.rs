//! A model's timings as one SVG picture: latency and throughput by batch, and the time of each kernel beside its least.

use super::ModelTiming;
use std::fmt::Write;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 260.0;
const ROW: f64 = 18.0;
/// Kernels that the picture names; the others are summed.
const SHOWN: usize = 40;

/// The picture. `batches` are the batch sizes of the timings; bars are measured times, dark parts the least ones.
pub fn svg(model: &str, gpu: &str, batches: &[u64], timings: &[ModelTiming]) -> String {
    let Some(last) = timings.last() else { return String::new() };
    let mut kernels: Vec<(String, f64, f64)> =
        last.kernels.iter().map(|k| (k.name.clone(), k.us, k.least_us)).collect();
    kernels.sort_by(|a, b| b.1.total_cmp(&a.1));
    if kernels.len() > SHOWN {
        let rest = kernels.split_off(SHOWN);
        let (us, least) = rest.iter().fold((0.0, 0.0), |(us, least), k| (us + k.1, least + k.2));
        kernels.push((format!("{} more", rest.len()), us, least));
    }
    let height = 120.0 + ROW * (2 * timings.len() + kernels.len()) as f64;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"22\" font-size=\"15\">{} on {}</text>\n",
        escaped(model),
        escaped(gpu)
    );
    let mut y = 40.0;
    let rates: Vec<f64> = batches.iter().zip(timings).map(|(n, t)| *n as f64 / t.sustained_us * 1e6).collect();
    let slowest = timings.iter().map(|t| t.latency_us).fold(0.0, f64::max);
    for (n, timing) in batches.iter().zip(timings) {
        let label = format!("batch {n}: latency");
        bar(&mut text, y, &label, [timing.latency_us / slowest, 0.0], &format!("{:.1} us", timing.latency_us));
        y += ROW;
    }
    let fastest = rates.iter().copied().fold(0.0, f64::max);
    for (n, rate) in batches.iter().zip(&rates) {
        bar(&mut text, y, &format!("batch {n}: throughput"), [rate / fastest, 0.0], &format!("{rate:.0} /s"));
        y += ROW;
    }
    y += 30.0;
    let batch = batches.last().copied().unwrap_or(1);
    _ = writeln!(
        text,
        "<text x=\"10\" y=\"{}\">kernels at batch {batch}, measured; dark: the least that memory and multipliers allow</text>",
        y - 8.0
    );
    let longest = kernels.first().map_or(1.0, |k| k.1).max(kernels.last().map_or(1.0, |k| k.1));
    for (name, us, least) in &kernels {
        let figure = format!("{us:.2} us, {:.0}%", 100.0 * least / us);
        bar(&mut text, y, name, [us / longest, (least / longest).min(us / longest)], &figure);
        y += ROW;
    }
    text.push_str("</svg>\n");
    text
}

/// One row: a label, a bar with its dark part (both as shares of the widest), a figure.
fn bar(text: &mut String, y: f64, label: &str, [share, dark]: [f64; 2], figure: &str) {
    let room = WIDTH - LEFT - 140.0;
    let (wide, dark) = (share.clamp(0.0, 1.0) * room, dark.clamp(0.0, 1.0) * room);
    let at = y + 13.0;
    _ = writeln!(text, "<text x=\"{}\" y=\"{at}\" text-anchor=\"end\">{}</text>", LEFT - 6.0, escaped(label));
    _ = writeln!(text, "<rect x=\"{LEFT}\" y=\"{}\" width=\"{wide:.1}\" height=\"14\" fill=\"#9ecae1\"/>", y + 2.0);
    _ = writeln!(text, "<rect x=\"{LEFT}\" y=\"{}\" width=\"{dark:.1}\" height=\"14\" fill=\"#3182bd\"/>", y + 2.0);
    _ = writeln!(text, "<text x=\"{:.1}\" y=\"{at}\">{}</text>", LEFT + wide + 6.0, escaped(figure));
}

/// Text that stays text.
fn escaped(text: &str) -> String {
    let shown = crate::name::Shown(text).to_string();
    shown.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Demand, KernelTiming};

    #[test]
    fn a_picture_has_a_row_for_each_batch_and_kernel_and_no_foreign_tags() {
        let kernel = |i: usize| KernelTiming {
            name: format!("k{i}<script>"),
            line: String::new(),
            us: i as f64 + 1.0,
            demand: Demand::default(),
            least_us: 0.5,
            share: 0.5 / (i as f64 + 1.0),
        };
        let timing = |n: usize| ModelTiming {
            sizes: [("batch".to_string(), n as u64)].into(),
            latency_us: 10.0 * n as f64,
            sustained_us: 8.0 * n as f64,
            on_host: 0,
            share: 0.5,
            kernels: (0..50).map(kernel).collect(),
        };
        let text = svg("a<b>&c", "GPU", &[1, 8], &[timing(1), timing(8)]);
        assert!(text.contains("a&lt;b&gt;&amp;c") && !text.contains("<script>"));
        assert_eq!(text.matches("</text>").count(), 2 + 2 * (2 * 2 + 41));
        assert!(text.contains("10 more") && text.contains("batch 8: throughput"));
        assert_eq!(svg("m", "g", &[], &[]), "");
    }
}
