//! Matrix products through shared memory: 64 × 64 results a block, any sizes and strides.
//!
//! Products are summed in order: n products take n roundings. It is what runs where no tensor-core kernel fits.

use super::writer::Writer;
use super::{count, dim};
use crate::dim::Dim;
use crate::emit::types::Class;
use crate::emit::{Blocks, EmitError, KernelSource, Options};
use crate::plan::Stage;
use crate::plan::routine::Product;
use tera::Context;

const TILE: u64 = 64;

pub fn product(stage: &Stage, product: &Product, options: &Options) -> Result<KernelSource, EmitError> {
    let mut w = Writer::new(stage, false);
    let class = w.class(0);
    let codes = matches!(class, Class::Int(_));
    let held = if codes { "int" } else { class.c_type() };
    let tiles = |d: &Dim| d.ceil_div(&Dim::fixed(TILE as i64)).map_err(dim(stage));
    let (down, across) = (tiles(&product.rows)?, tiles(&product.columns)?);
    let batch = count(stage, &product.batch)?;
    let tile = [("batch", batch.clone()), ("tile_row", down), ("tile_column", across)];
    let mut coordinates = w.coordinates("tile", &tile.map(|(name, d)| (name.to_owned(), d)));
    let axes: Vec<(String, Dim)> = (0..).map(|i| format!("b{i}")).zip(product.batch.iter().cloned()).collect();
    coordinates.extend(w.coordinates("batch", &axes));
    for (name, size) in [("rows", &product.rows), ("columns", &product.columns), ("inner", &product.inner)] {
        w.size(name, size);
    }
    let mut place = |name: &str, strides: &[Dim], last: [&str; 2]| {
        let outer = axes.iter().map(|(axis, _)| axis.clone());
        let terms: Vec<(String, Dim)> = outer.chain(last.map(str::to_owned)).zip(strides.iter().cloned()).collect();
        let at = w.offset(name, &terms);
        format!("read_{name}({name} + ({at}))")
    };
    let (a, b) = (place("x0", &product.a, ["row", "l"]), place("x1", &product.b, ["l", "column"]));
    let bias = product.c.as_ref().map(|c| place("x2", c, ["row", "column"]));
    // One zero point for all, or one a row of a and one a column of b.
    let zero = |operand: usize, index: &str| {
        let many = stage.reads[operand].shape.iter().any(|d| !d.is(1));
        let at = if many { format!(" + {index}") } else { String::new() };
        format!("read_x{operand}(x{operand}{at})")
    };
    let (a, b) = match codes && stage.reads.len() == 4 {
        true => (format!("(int){a} - (int){}", zero(2, "row")), format!("(int){b} - (int){}", zero(3, "column"))),
        false => (a, b),
    };
    let result = bias.map_or("sum[i][j]".to_owned(), |c| format!("sum[i][j] + {c}"));
    let mut context = Context::new();
    context.insert("what", "A matrix product.");
    context.insert("held", held);
    context.insert("coordinates", &coordinates);
    context.insert("a", &a);
    context.insert("b", &b);
    context.insert("result", &result);
    let blocks = Blocks::Tiles(vec![(batch, 1), (product.rows.clone(), TILE), (product.columns.clone(), TILE)]);
    w.finish("routines/product", context, 256, blocks, options)
}
