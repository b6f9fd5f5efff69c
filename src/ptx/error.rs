//! What can go wrong before a kernel runs: PTX text that does not parse, or that asks for something the
//! interpreter does not implement. Every error carries the line, so that it can be looked up in the listing.

use thiserror::Error;

/// A PTX text that could not be turned into a runnable kernel.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PtxError {
    /// The text breaks PTX syntax.
    #[error("PTX line {line}: {message}; the line reads `{text}`")]
    Syntax { line: u32, message: String, text: String },

    /// The opcode is not implemented by the interpreter.
    #[error("PTX line {line}: opcode `{opcode}` is not implemented by the interpreter; the line reads `{text}`")]
    UnknownOpcode { line: u32, opcode: String, text: String },

    /// The opcode is known, but not with these modifiers.
    #[error("PTX line {line}: `{opcode}` does not take the modifier `.{modifier}` here; the line reads `{text}`")]
    UnknownModifier { line: u32, opcode: String, modifier: String, text: String },

    /// The opcode is known, but the operands have another form than the interpreter expects.
    #[error("PTX line {line}: operands of `{opcode}`: {message}; the line reads `{text}`")]
    Operands { line: u32, opcode: String, message: String, text: String },

    /// A register, variable, label or function that the text never declares.
    #[error("PTX line {line}: `{name}` is not declared; the line reads `{text}`")]
    Undeclared { line: u32, name: String, text: String },

    /// A directive the interpreter does not know.
    #[error("PTX line {line}: directive `.{directive}` is not implemented by the interpreter; the line reads `{text}`")]
    UnknownDirective { line: u32, directive: String, text: String },

    /// Recursive device functions: frames are laid out statically, so a function cannot call itself.
    #[error(
        "PTX function `{function}` calls itself, directly or through others; the interpreter lays frames out statically and cannot run it"
    )]
    Recursion { function: String },

    /// No kernel of this name.
    #[error("the PTX module has no kernel `{name}`; it has: {}", known.join(", "))]
    NoSuchKernel { name: String, known: Vec<String> },
}

/// The text of one line, trimmed, for error messages and faults. Lines count from 1.
pub(crate) fn line_text(source: &str, line: u32) -> String {
    source.lines().nth(line.saturating_sub(1) as usize).unwrap_or("").trim().to_string()
}
