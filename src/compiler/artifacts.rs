//! Writes a compiled model to a folder.

use super::{Compiled, Error};
use crate::files;
use crate::report;
use std::fs;
use std::path::Path;

/// Makes the folders that [`Compiled::write`] fills, and tries whether files can be made in them: what is not writable is better known before
/// a minute of compilation than after it.
///
/// # Errors
/// If a folder can't be made, or no file in it.
pub fn prepare(folder: &Path) -> Result<(), Error> {
    let kernels = folder.join("kernels");
    fs::create_dir_all(&kernels).map_err(|source| Error::Write { path: kernels.clone(), source })?;
    for folder in [folder, &kernels] {
        tempfile::tempfile_in(folder).map_err(|source| Error::Write { path: folder.into(), source })?;
    }
    Ok(())
}

impl Compiled {
    /// Writes into `folder`, which is made if need be:
    /// `plan.json`; `graph.dot`; `kernels.h`; and for each distinct kernel `kernels/ENTRY.cu`, `kernels/ENTRY.ptx` and
    /// `kernels/ENTRY.sm_NN.cubin`. Each file is written beside its place and renamed into it.
    ///
    /// # Errors
    /// If a file can't be written; files written before stay.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        let kernels = folder.join("kernels");
        fs::create_dir_all(&kernels).map_err(|source| Error::Write { path: kernels.clone(), source })?;
        let planned = &self.planned;
        let sources: Vec<_> = planned.sources.iter().collect();
        let stages: Vec<_> = planned.stages.iter().collect();
        let tables = planned.tables();
        let table_refs: Vec<_> = tables.iter().map(|t| t.as_deref()).collect();
        put(&folder.join("plan.json"), serde_json::to_string_pretty(&planned.plan)?.as_bytes())?;
        put(&folder.join("graph.dot"), report::dot(&planned.plan).as_bytes())?;
        put(&folder.join("kernels.h"), report::c_header(&planned.plan, &sources, &table_refs, &stages).as_bytes())?;
        for (i, program) in self.programs.iter().enumerate() {
            let users: Vec<_> = planned
                .plan
                .kernels()
                .zip(&self.program_of)
                .filter(|(_, of)| **of == i)
                .map(|(kernel, _)| kernel)
                .collect();
            let file = |ending: &str| kernels.join(format!("{}.{ending}", program.source.entry));
            let stages = planned.plan.routines().flat_map(|r| r.stages.iter().map(move |stage| (r, stage)));
            let stages = stages.zip(&self.program_of_stage).filter(|(_, of)| **of == i).map(|(stage, _)| stage);
            let stages: Vec<_> = stages.collect();
            let text = program.source.header(&planned.plan, &users)
                + &program.source.stage_header(&planned.plan, &stages)
                + &program.source.text;
            put(&file("cu"), text.as_bytes())?;
            if let Some(ptx) = &program.ptx {
                put(&file("ptx"), ptx)?;
            }
            for (arch, build) in &program.builds {
                put(&file(&format!("{arch}.cubin")), &build.cubin)?;
            }
        }
        for (kernel, table) in planned.plan.kernels().zip(&tables) {
            if let Some(table) = table.as_ref().filter(|t| t.len() > report::LARGEST_TABLE_IN_HEADER) {
                put(&kernels.join(format!("{}.table", kernel.name)), table)?;
            }
        }
        Ok(())
    }
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    files::write(path, bytes).map_err(|source| Error::Write { path: path.into(), source })
}
