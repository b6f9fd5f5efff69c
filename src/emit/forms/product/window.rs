//! How the input of a convolution gets into shared memory, without being unfolded first: each row of the tile is a pixel of the result, each
//! term of the sum a channel of an input pixel under a tap of the kernel.
//!
//! Terms run as the weights do: taps outside, channels inside. What lies in one stretch of memory is a *run*: the channels of a
//! pixel, or, where those are few and the taps of the innermost axis are neighbours, the channels of all of them. A run that
//! leaves the image is cut off by its first and last element.

use super::factor::{Factor, Lines, Run};
use crate::anchor::Conv;
use crate::dim::{Dim, DimError};
use crate::emit::index::Indexer;
use crate::emit::params::{Param, ParamValue};
use crate::plan::layout;
use crate::scalar::{Number, Scalar};

/// A convolution's input as a factor.
pub struct Window<'a> {
    pub conv: &'a Conv,
    pub input: &'a [Dim],
    pub output: &'a [Dim],
    pub channels: &'a Dim,
    /// Elements from one pixel to the next.
    pub pitch: &'a Dim,
    /// The input's first element.
    pub first: &'a Dim,
    pub pad: Scalar,
}

/// One axis along which taps are told apart.
struct Axis {
    input: Dim,
    taps: usize,
    stride: Dim,
    before: Dim,
    dilation: usize,
}

impl Window<'_> {
    /// True if the taps of the innermost axis and their channels are one run.
    fn is_folded(&self, size: u32) -> bool {
        let narrow = self.channels.known().is_some_and(|c| c * i64::from(size) < 16);
        narrow && self.pitch == self.channels && self.conv.groups == 1 && self.conv.dilations.last() == Some(&1)
    }

    /// The axes, and the run's length in elements: the last axis of a folded window counts elements, not pixels.
    fn axes(&self, size: u32) -> Result<(Vec<Axis>, Dim), DimError> {
        let conv = self.conv;
        let mut axes = Vec::new();
        for (i, input) in self.input.iter().enumerate() {
            axes.push(Axis {
                input: input.clone(),
                taps: conv.kernel[i],
                stride: Dim::from(conv.strides[i]),
                before: Dim::from(conv.pads[i].0),
                dilation: conv.dilations[i],
            });
        }
        let mut run = self.channels.floor_div(&Dim::from(conv.groups))?;
        if self.is_folded(size)
            && let Some(last) = axes.last_mut()
        {
            run = run.mul(&Dim::from(last.taps))?;
            for dim in [&mut last.input, &mut last.stride, &mut last.before] {
                *dim = dim.mul(self.channels)?;
            }
            last.taps = 1;
        }
        Ok((axes, run))
    }

    /// The widest copy that nothing but whole ones lie inside or outside of the image, 0 if there is none.
    pub fn copy(&self, size: u32, most: u32) -> Result<u32, DimError> {
        let (axes, run) = self.axes(size)?;
        let mut dims = vec![run, self.pitch.clone(), self.first.clone()];
        if self.is_folded(size) {
            dims.remove(1);
            dims.extend(axes.last().into_iter().flat_map(|a| [a.input.clone(), a.stride.clone(), a.before.clone()]));
        }
        let fits = |n: u32| n >= size && n <= most && dims.iter().all(|d| layout::is_multiple(d, u64::from(n / size)));
        Ok([16, 8, 4].into_iter().find(|&n| fits(n)).unwrap_or(0))
    }

    pub fn lines(&self, factor: &Factor) -> Result<Lines, DimError> {
        let size = factor.size;
        let width = factor.width;
        let (axes, run) = self.axes(size)?;
        let folded = self.is_folded(size);
        let mut indexer = Indexer { domain: &[], width, params: Vec::new() };
        let stride = |indexer: &mut Indexer, name: String, dim: &Dim| {
            indexer.param(Param::stride(name.clone(), dim, width));
            name
        };
        let (count, ..) = factor.shares(Run::Deep);

        // The pixel of the result that each row is, and where its window begins.
        let mut place = vec!["idx rest = m0 + r;".to_owned(), "const bool live = rest < rows;".to_owned()];
        for (i, axis) in axes.iter().enumerate().rev() {
            let quotient = indexer.quotient("rest", &format!("out{i}"), &self.output[i]);
            place.push(format!("const idx q{i} = {quotient};"));
            let by = stride(&mut indexer, format!("stride{i}"), &axis.stride);
            let before = stride(&mut indexer, format!("before{i}"), &axis.before);
            place.push(format!("const off w{i} = (off)(rest - q{i} * out{i}) * {by} - {before};"));
            place.push(format!("rest = q{i};"));
            stride(&mut indexer, format!("in{i}"), &axis.input);
        }
        // The offset of the window's first element; one of a folded window counts elements already.
        let mut offset = "(off)rest".to_owned();
        for i in 0..axes.len() {
            offset = format!("({offset} * in{i} + w{i})");
            place.push(format!("a_w{i}[i] = live ? (i32)w{i} : -0x40000000;"));
        }
        if !folded {
            offset = format!("{offset} * {}", stride(&mut indexer, "pitch".to_owned(), self.pitch));
        }
        if self.conv.groups > 1 {
            offset = format!("{offset} + (off)batch0_at * {}", stride(&mut indexer, "group".to_owned(), &run));
        }
        place.push(format!("a_at[i] = {offset};"));
        let mut setup = factor.place(Run::Deep);
        setup.push(format!("off a_at[{count}];"));
        setup.extend((0..axes.len()).map(|i| format!("i32 a_w{i}[{count}];")));
        setup.extend(factor.each_row(Run::Deep, &place));

        // The tap of a term, how far it shifts the window, and whether it lies in the image.
        let mut tap = vec![format!("const idx tap = {};", indexer.quotient("k", "run", &run))];
        tap.push("const off inner = (off)(k - tap * run);".to_owned());
        let counted: Vec<usize> = (0..axes.len()).filter(|&i| !(folded && i + 1 == axes.len())).collect();
        let mut rest = "tap".to_owned();
        for (n, &i) in counted.iter().enumerate().rev() {
            let dilation = stride(&mut indexer, format!("dilation{i}"), &Dim::from(axes[i].dilation));
            if n == 0 {
                tap.push(format!("const off s{i} = (off){rest} * {dilation};"));
            } else {
                let taps = Dim::from(axes[i].taps);
                tap.push(format!("const idx t{i} = {};", indexer.quotient(&rest, &format!("taps{i}"), &taps)));
                tap.push(format!("const off s{i} = (off)({rest} - t{i} * taps{i}) * {dilation};"));
                rest = format!("t{i}");
            }
        }
        let mut shift = "0".to_owned();
        let mut inside = vec!["k < depth".to_owned()];
        for i in 0..axes.len() {
            let last_folded = folded && i + 1 == axes.len();
            let moved = if last_folded { "inner".to_owned() } else { format!("s{i}") };
            shift = if shift == "0" { moved.clone() } else { format!("({shift} * in{i} + {moved})") };
            inside.push(format!("(u32)(a_w{i}[i] + (i32){moved}) < (u32)in{i}"));
        }
        if !folded {
            shift = format!("{shift} * pitch + inner");
        }
        tap.push(format!("const off shift = {shift};"));
        let inside = format!("const bool inside = {};", inside.join(" && "));

        let pad = self.pad_word();
        if pad != 0 {
            let value = ParamValue::Scalar(Scalar::new(crate::dtype::DType::I32, Number::Int(i128::from(pad as i32))));
            indexer.param(Param { name: "pad".into(), c_type: "const i32".into(), value });
        }
        let each = factor.of_piece();
        let to = factor.to(Run::Deep);
        let mut fetch = vec![if factor.copy == 16 { "{".to_owned() } else { factor.at_once() }];
        let first = format!("(idx)step * {}u + a_piece * {each}u", factor.tile.k);
        if factor.copy >= 4 {
            let copy = factor.copy;
            if copy == 16 {
                fetch.push(format!("const idx k = {first};"));
            } else {
                fetch.push("#pragma unroll".to_owned());
                fetch.push(format!("for (int p = 0; p < {}; ++p) {{", 16 / copy));
                fetch.push(format!("const idx k = {first} + p * {}u;", copy / size));
            }
            fetch.append(&mut tap);
            let to = if copy == 16 { to } else { format!("{to} + p * {copy}u") };
            let mut body = vec![inside];
            let copied =
                format!("copy_async<{copy}>({to}, inside ? a + (a_at[i] + shift) : a, inside ? {copy}u : 0u);");
            if pad == 0 {
                body.push(copied);
            } else {
                let words = vec!["(u32)pad"; copy as usize / 4].join(", ");
                body.push("if (inside) {".to_owned());
                body.push(copied);
                body.push("} else {".to_owned());
                body.push(format!("put_shared<{copy}>({to}, {{{words}}});"));
                body.push("}".to_owned());
            }
            fetch.extend(match copy {
                16 => factor.each_in_turn(Run::Deep, &body),
                _ => factor.each_row(Run::Deep, &body),
            });
            if copy != 16 {
                fetch.push("}".to_owned());
            }
        } else {
            fetch.push(format!("Words<4> x[{count}] = {{}};"));
            fetch.push("#pragma unroll".to_owned());
            fetch.push(format!("for (int e = 0; e < {each}; ++e) {{"));
            fetch.push(format!("const idx k = {first} + e;"));
            fetch.append(&mut tap);
            let mut body = vec![inside, format!("if (inside) fetch_element<{size}>(x[i], e, a + (a_at[i] + shift));")];
            if pad != 0 {
                let mask = if size == 1 { "0xffu" } else { "0xffffu" };
                let (per, bits) = (4 / size, 8 * size);
                body.push(format!("else x[i].w[e / {per}] |= ((u32)pad & {mask}) << ({bits} * (e % {per}));"));
            }
            fetch.extend(factor.each_row(Run::Deep, &body));
            fetch.push("}".to_owned());
            fetch.extend(factor.each_row(Run::Deep, &[format!("put_shared<16>({to}, x[i]);")]));
        }
        fetch.push("}".to_owned());
        Ok(Lines { setup, fetch, params: indexer.params })
    }

    /// The element that stands outside of the image, repeated to fill 32 bits.
    fn pad_word(&self) -> u32 {
        let bits = self.pad.bits() as u32;
        match self.pad.dtype().bits() {
            8 => (bits & 0xff) * 0x0101_0101,
            16 => (bits & 0xffff) * 0x0001_0001,
            _ => bits,
        }
    }
}
