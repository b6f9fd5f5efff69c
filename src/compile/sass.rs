//! The instruction mix of machine code: which instructions ptxas chose, counted by name.
//!
//! NVIDIA's nvdisasm turns a cubin into text; counting is done here. It needs no GPU, so tests can assert on a machine without one that
//! a kernel loads 16 bytes at a time or converts on the fast pipe.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::find::disassembler_places;

/// Why machine code was not read back.
#[derive(Debug, Error)]
pub enum SassError {
    /// No nvdisasm on this machine.
    #[error(
        "nvdisasm was not found; run `make disassembler` in pointweld's folder, or set POINTWELD_NVDISASM to its file or folder"
    )]
    Missing,
    /// nvdisasm could not be run.
    #[error("{} could not be run: {source}", .path.display())]
    NotRun {
        /// Its file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// nvdisasm refused the cubin.
    #[error("{} refused the machine code: {message}", .path.display())]
    Refused {
        /// Its file.
        path: PathBuf,
        /// What it said.
        message: String,
    },
    /// The cubin has no such kernel.
    #[error("the machine code has no kernel `{kernel}`")]
    NoKernel {
        /// The kernel that was asked for.
        kernel: String,
    },
}

/// The instructions of one kernel, as they stand in its code: a loop's body counts once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mix {
    /// How often each instruction stands in the kernel, by its name with all modifiers (`LDG.E.128.CONSTANT`).
    pub counts: BTreeMap<String, u32>,
    /// The instructions of the subroutines that the compiler added for rare cases, such as the division of denormals. They are not
    /// in `counts`.
    pub subroutines: u32,
}

/// The instructions of a [`Mix`] by the pipe that executes them. Sorted out by name after the public catalogues of sm_80 to sm_100.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipes {
    /// All instructions: each takes an issue slot.
    pub issue: u32,
    /// f32 and packed 16-bit multiply and add, integer multiply.
    pub fma: u32,
    /// Logic, shifts, compares, minimum, permutes, `I2FP`, `F2IP`.
    pub alu: u32,
    /// `MUFU` and the slow conversions `F2I`, `I2F`, `F2F`, `FRND`.
    pub xu: u32,
    /// Shared-memory loads and stores.
    pub shared: u32,
    /// Global-memory loads and stores.
    pub global: u32,
    /// Local-memory loads and stores: spills and arrays that are indexed at run time.
    pub local: u32,
}

impl Mix {
    /// How many instructions bear `name` and all of `modifiers`, in any order: `count("LDG", &["128"])`.
    pub fn count(&self, name: &str, modifiers: &[&str]) -> u32 {
        self.counts
            .iter()
            .filter(|(full, _)| {
                let mut parts = full.split('.');
                parts.next() == Some(name) && modifiers.iter().all(|wanted| parts.clone().any(|part| part == *wanted))
            })
            .map(|(_, count)| count)
            .sum()
    }

    /// All instructions of the kernel.
    pub fn total(&self) -> u32 {
        self.counts.values().sum()
    }

    /// The instructions by pipe.
    pub fn pipes(&self) -> Pipes {
        let mut pipes = Pipes::default();
        for (name, count) in &self.counts {
            pipes.issue += count;
            let base = name.split('.').next().unwrap_or_default();
            let pipe = match base {
                "FADD" | "FMUL" | "FFMA" | "FADD2" | "FMUL2" | "FFMA2" | "FFMA32I" | "FADD32I" | "FMUL32I"
                | "HFMA2" | "HADD2" | "HMUL2" | "IMAD" | "IDP" | "UIMAD" => &mut pipes.fma,
                "MUFU" | "F2I" | "I2F" | "F2F" | "FRND" | "POPC" | "FLO" | "BREV" => &mut pipes.xu,
                "LDS" | "STS" | "LDSM" | "STSM" | "ATOMS" => &mut pipes.shared,
                "LDG" | "STG" | "LD" | "ST" | "LDGSTS" | "ATOMG" | "RED" | "REDG" => &mut pipes.global,
                "LDL" | "STL" => &mut pipes.local,
                "LOP3" | "PLOP3" | "SHF" | "SHL" | "SHR" | "LEA" | "IADD3" | "IADD" | "VIADD" | "ISETP" | "FSETP"
                | "HSETP2" | "SEL" | "FSEL" | "FMNMX" | "FMNMX3" | "IMNMX" | "VIMNMX" | "VIMNMX3" | "HMNMX2"
                | "VHMNMX" | "PRMT" | "I2FP" | "F2IP" | "I2IP" | "F2FP" | "IABS" | "BMSK" | "SGXT" | "MOV" | "FSET"
                | "FCHK" | "LOP" | "VABSDIFF" | "VABSDIFF4" | "P2R" | "R2P" => &mut pipes.alu,
                _ => continue,
            };
            *pipe += count;
        }
        pipes
    }
}

/// Counts the instructions of `kernel` in the text that nvdisasm made of a cubin; `None` if the kernel is not in it.
pub fn mix_of(text: &str, kernel: &str) -> Option<Mix> {
    let section = format!(".text.{kernel}:");
    let mut mix = Mix::default();
    let mut lines = text.lines().map(str::trim);
    lines.by_ref().find(|line| *line == section)?;
    let mut in_subroutine = false;
    for line in lines {
        if line.starts_with(".section") {
            break;
        }
        // The compiler's subroutines follow the kernel in its section, under labels of their own.
        if line.ends_with(':') && !line.starts_with(".L") {
            in_subroutine = true;
        }
        match instruction(line) {
            // Behind the last instruction stand a branch to itself and NOPs, which fill the section and are never executed.
            None | Some("NOP") => {}
            Some(_) if in_subroutine => mix.subroutines += 1,
            Some(name) => *mix.counts.entry(name.to_owned()).or_insert(0) += 1,
        }
    }
    Some(mix)
}

/// The name in `/*0180*/ @!P0 FMUL R0, R0, 0.5 ;`.
fn instruction(line: &str) -> Option<&str> {
    let (address, rest) = line.strip_prefix("/*")?.split_once("*/")?;
    if !address.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut words = rest.split_whitespace();
    let first = words.next()?;
    let name = if first.starts_with('@') { words.next()? } else { first };
    let name = name.trim_end_matches(';');
    name.starts_with(|c: char| c.is_ascii_uppercase()).then_some(name)
}

/// NVIDIA's nvdisasm.
#[derive(Debug, Clone)]
pub struct Disassembler {
    path: PathBuf,
}

impl Disassembler {
    /// Finds it: `POINTWELD_NVDISASM` (a file or a folder), `.cache/disassembler` in the working folder or above the executable,
    /// `CUDA_HOME`, `CUDA_PATH`, then `PATH`.
    ///
    /// # Errors
    /// [`SassError::Missing`] if it is nowhere.
    pub fn find() -> Result<Disassembler, SassError> {
        let places = disassembler_places();
        let explicit = places.iter().any(|place| place.explicit);
        let mut paths: Vec<PathBuf> = places.into_iter().map(|place| place.path).collect();
        if let Some(path) = env::var_os("PATH").filter(|_| !explicit) {
            paths.extend(env::split_paths(&path));
        }
        let program = format!("nvdisasm{}", env::consts::EXE_SUFFIX);
        paths
            .into_iter()
            .map(|path| match path.is_dir() {
                true => path.join(&program),
                false => path,
            })
            .find(|path| path.is_file())
            .map(|path| Disassembler { path })
            .ok_or(SassError::Missing)
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text of a cubin.
    ///
    /// # Errors
    /// [`SassError::NotRun`] or [`SassError::Refused`].
    pub fn disassemble(&self, cubin: &[u8]) -> Result<String, SassError> {
        let not_run = |source| SassError::NotRun { path: self.path.clone(), source };
        // nvdisasm reads files only.
        let mut file = tempfile::NamedTempFile::new().map_err(not_run)?;
        file.write_all(cubin).map_err(not_run)?;
        let output = Command::new(&self.path).arg("--print-code").arg(file.path()).output().map_err(not_run)?;
        if !output.status.success() {
            return Err(SassError::Refused {
                path: self.path.clone(),
                message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The instruction mix of a kernel of a cubin.
    ///
    /// # Errors
    /// As [`Disassembler::disassemble`], and [`SassError::NoKernel`].
    pub fn mix(&self, cubin: &[u8], kernel: &str) -> Result<Mix, SassError> {
        mix_of(&self.disassemble(cubin)?, kernel).ok_or_else(|| SassError::NoKernel { kernel: kernel.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
\t.target\tsm_90
//--------------------- .text.other                --------------------------
\t.section\t.text.other,\"ax\",@progbits
other:
.text.other:
        /*0000*/                   LDL R1, [R2] ;
        /*0010*/                   EXIT ;
\t.section\t.text.silu,\"ax\",@progbits
        .type           silu,@function
silu:
.text.silu:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
.L_x_1:
        /*0010*/               @P0 EXIT ;
        /*0020*/                   LDG.E.128.CONSTANT R4, desc[UR6][R4.64] ;
        /*0030*/                   LDG.E.U8.CONSTANT R2, desc[UR6][R2.64+0x3] ;
        /*0040*/              @!P0 FMUL R0, R0, 0.5 ;
        /*0050*/                   MUFU.EX2 R2, R0 ;
        /*0060*/                   MUFU.RCP R2, R11 ;
        /*0070*/                   F2IP.S8.F32.NTZ R2, R3, R4, RZ ;
        /*0080*/                   STG.E.128 desc[UR6][R2.64], R8 ;
        /*0090*/              @!P0 BRA `(.L_x_1) ;
        /*00a0*/                   EXIT;
        .type           $__internal_0_$__div_slowpath,@function
$__internal_0_$__div_slowpath:
        /*00b0*/                   MUFU.RCP R8, RZ ;
.L_x_5:
        /*00c0*/                   RET.REL.NODEC R2 `(silu) ;
        /*00d0*/                   NOP;
\t.section\t.nv.info,\"\",@\"SHT_CUDA_INFO\"
        /*00e0*/                   F2I.NTZ R6, R6 ;
";

    #[test]
    fn instructions_are_counted_by_name_and_modifiers() {
        let mix = mix_of(TEXT, "silu").unwrap();
        assert_eq!(mix.total(), 11);
        assert_eq!(mix.subroutines, 2);
        assert_eq!(mix.count("LDG", &[]), 2);
        assert_eq!(mix.count("LDG", &["128"]), 1);
        assert_eq!(mix.count("LDG", &["CONSTANT", "E"]), 2);
        assert_eq!(mix.count("MUFU", &[]), 2);
        assert_eq!(mix.count("EXIT", &[]), 2);
        assert_eq!(mix.count("F2I", &[]), 0);
        assert_eq!(mix.count("LDL", &[]), 0);
        let pipes = mix.pipes();
        assert_eq!((pipes.issue, pipes.fma, pipes.alu, pipes.xu, pipes.global), (11, 1, 1, 2, 3));
    }

    #[test]
    fn a_kernel_that_is_not_there_has_none() {
        assert_eq!(mix_of(TEXT, "sil"), None);
        assert_eq!(mix_of("", "silu"), None);
        assert_eq!(mix_of(TEXT, "other").unwrap().count("LDL", &[]), 1);
    }
}
