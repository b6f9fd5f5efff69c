//! The usual path through a kernel's machine code: the shortest from its entry to the last of its widest stores, and on to an exit. It leaves
//! out what only a tail executes, or a division of denormals, or a second opinion in f64.

use super::sass::{Disassembler, Mix, SassError};
use std::collections::{BTreeMap, VecDeque};

/// One instruction.
struct Instruction<'a> {
    name: &'a str,
    /// The label that it may branch to.
    target: Option<&'a str>,
    /// It goes on with the next instruction, always or unless its predicate holds.
    falls: bool,
}

impl Disassembler {
    /// The instructions of a kernel's usual path.
    ///
    /// # Errors
    /// As [`Disassembler::mix`].
    pub fn usual_mix(&self, cubin: &[u8], kernel: &str) -> Result<Mix, SassError> {
        let missing = || SassError::NoKernel { kernel: kernel.to_owned() };
        usual_mix_of(&self.disassemble(cubin)?, kernel).ok_or_else(missing)
    }
}

/// Counts the instructions of the usual path of `kernel` in the text that nvdisasm made of a cubin; `None` if the kernel is not in it, or
/// stores nothing.
pub fn usual_mix_of(text: &str, kernel: &str) -> Option<Mix> {
    let (code, labels) = parse(text, kernel)?;
    let widest = code.iter().filter_map(|i| stored(i.name)).max()?;
    let last = code.iter().rposition(|i| stored(i.name) == Some(widest))?;
    let there = path(&code, &labels, 0, |i| i == last)?;
    let out = path(&code, &labels, last, |i| code[i].name == "EXIT")?;
    let mut mix = Mix::default();
    for i in there.into_iter().chain(out.into_iter().skip(1)) {
        *mix.counts.entry(code[i].name.to_owned()).or_insert(0) += 1;
    }
    Some(mix)
}

/// Bytes a thread stores to global memory.
fn stored(name: &str) -> Option<u32> {
    let mut parts = name.split('.');
    if parts.next() != Some("STG") {
        return None;
    }
    let width = |part: &str| match part {
        "128" => Some(16),
        "64" => Some(8),
        "U16" | "S16" => Some(2),
        "U8" | "S8" => Some(1),
        _ => None,
    };
    Some(parts.find_map(width).unwrap_or(4))
}

/// The instructions of a kernel without the subroutines behind it, and where its labels stand.
fn parse<'a>(text: &'a str, kernel: &str) -> Option<(Vec<Instruction<'a>>, BTreeMap<&'a str, usize>)> {
    let section = format!(".text.{kernel}:");
    let mut lines = text.lines().map(str::trim);
    lines.by_ref().find(|line| *line == section)?;
    let (mut code, mut labels) = (Vec::new(), BTreeMap::new());
    for line in lines {
        if line.starts_with(".section") {
            break;
        }
        if let Some(label) = line.strip_suffix(':') {
            if !label.starts_with(".L") {
                break;
            }
            labels.insert(label, code.len());
        } else if let Some(instruction) = instruction(line) {
            code.push(instruction);
        }
    }
    Some((code, labels))
}

/// The instruction in ``/*0090*/ @!P0 BRA `(.L_x_1) ;``.
fn instruction(line: &str) -> Option<Instruction<'_>> {
    let (_, rest) = line.strip_prefix("/*")?.split_once("*/")?;
    let mut words = rest.split_whitespace();
    let first = words.next()?;
    let predicated = first.starts_with('@');
    let name = if predicated { words.next()? } else { first };
    let name = name.trim_end_matches(';');
    if !name.starts_with(|c: char| c.is_ascii_uppercase()) {
        return None;
    }
    let branches = matches!(name.split('.').next(), Some("BRA" | "BRX" | "JMP"));
    let target = rest.split_once("`(").and_then(|(_, target)| target.split_once(')')).map(|(label, _)| label);
    // `@P0 BRA P1, …` has a second predicate, and `BRA P1, …` one.
    let conditional = predicated || words.next().is_some_and(|word| word.ends_with(',') && word.len() <= 5);
    let ends = branches || matches!(name.split('.').next(), Some("EXIT" | "RET"));
    Some(Instruction { name, target: target.filter(|_| branches), falls: conditional || !ends })
}

/// The shortest path from instruction `from` to one that is an end.
fn path(
    code: &[Instruction],
    labels: &BTreeMap<&str, usize>,
    from: usize,
    is_end: impl Fn(usize) -> bool,
) -> Option<Vec<usize>> {
    let mut before = vec![usize::MAX; code.len()];
    let mut open = VecDeque::from([from]);
    before[from] = from;
    while let Some(i) = open.pop_front() {
        if is_end(i) {
            let mut path = vec![i];
            let mut at = i;
            while at != from {
                at = before[at];
                path.push(at);
            }
            path.reverse();
            return Some(path);
        }
        let next = code[i].falls.then_some(i + 1);
        let target = code[i].target.and_then(|label| labels.get(label).copied());
        for to in next.into_iter().chain(target) {
            if to < code.len() && before[to] == usize::MAX {
                before[to] = i;
                open.push_back(to);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
.text.silu:
        /*0000*/                   ISETP.GE.U32.AND P0, PT, R0, UR4, PT ;
        /*0010*/               @P0 EXIT ;
        /*0020*/               @P1 BRA `(.L_x_1) ;
        /*0030*/                   LDG.E.U16.CONSTANT R4, desc[UR6][R4.64] ;
        /*0040*/                   LDG.E.U16.CONSTANT R5, desc[UR6][R4.64+0x2] ;
        /*0050*/                   BRA `(.L_x_2) ;
.L_x_1:
        /*0060*/                   LDG.E.128.CONSTANT R4, desc[UR6][R4.64] ;
.L_x_2:
        /*0070*/                   MUFU.EX2 R2, R0 ;
        /*0080*/              @!P2 BRA `(.L_x_4) ;
.L_x_3:
        /*0090*/                   DADD R2, R2, 1 ;
        /*00a0*/               @P3 BRA `(.L_x_3) ;
.L_x_4:
        /*00b0*/               @P1 BRA P4, `(.L_x_5) ;
        /*00c0*/                   STG.E.U16 desc[UR6][R2.64], R8 ;
        /*00d0*/                   EXIT ;
.L_x_5:
        /*00e0*/                   STG.E.128 desc[UR6][R2.64], R8 ;
        /*00f0*/                   EXIT ;
.L_x_6:
        /*0100*/                   BRA `(.L_x_6);
$__internal_0_$__div_slowpath:
        /*0110*/                   MUFU.RCP R8, RZ ;
";

    #[test]
    fn the_usual_path_has_neither_tails_nor_second_opinions() {
        let mix = usual_mix_of(TEXT, "silu").unwrap();
        assert_eq!((mix.count("LDG", &[]), mix.count("STG", &[]), mix.count("DADD", &[])), (1, 1, 0));
        assert_eq!(mix.count("MUFU", &[]), 1);
        assert_eq!(mix.total(), 9, "{mix:?}");
        assert_eq!(usual_mix_of(TEXT, "other"), None);
    }
}
