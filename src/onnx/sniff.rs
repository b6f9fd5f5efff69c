//! Recognises files that are commonly given in place of an ONNX model, so that the message can say what to do.

/// Signatures at the start of other formats, and what to tell the user.
const SIGNATURES: &[(usize, &[u8], &str)] = &[
    (0, b"version https://git-lfs", "it is a Git LFS pointer, not the file itself; run `git lfs pull`"),
    (0, b"PK\x03\x04", "it is a zip archive (a PyTorch checkpoint or a zipped model?); export it to ONNX, or unzip it"),
    (0, b"\x1f\x8b", "it is gzip-compressed; decompress it first"),
    (0, b"BZh", "it is bzip2-compressed; decompress it first"),
    (0, b"\xfd7zXZ\x00", "it is xz-compressed; decompress it first"),
    (0, b"\x28\xb5\x2f\xfd", "it is zstd-compressed; decompress it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "it is a 7z archive; unpack it first"),
    (0, b"\x89HDF\r\n", "it is an HDF5 file (a Keras model?); export it to ONNX"),
    (0, b"\x93NUMPY", "it is a NumPy array"),
    (0, b"GGUF", "it is a GGUF file"),
    (4, b"ORTM", "it is in ONNX Runtime's own .ort format; use the .onnx file it was made from"),
    (4, b"TFL3", "it is a TensorFlow Lite model; convert it to ONNX"),
    (257, b"ustar", "it is a tar archive; unpack it first"),
    (0, b"\x80\x02", "it is a Python pickle (a PyTorch checkpoint?); export it to ONNX"),
    (0, b"\x7fELF", "it is a program or library"),
];

/// What the file is instead of an ONNX model, or `None` if it may be one.
pub fn not_onnx(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return Some("the file is empty".into());
    }
    for (offset, signature, what) in SIGNATURES {
        if bytes.get(*offset..).is_some_and(|rest| rest.starts_with(signature)) {
            return Some((*what).into());
        }
    }
    if bytes.iter().all(|&byte| byte == 0) {
        return Some("every byte is zero (an interrupted download?)".into());
    }
    if bytes.get(8) == Some(&b'{') && bytes.get(2..8) == Some(&[0; 6]) {
        return Some("it is a safetensors file: weights without a graph".into());
    }
    text(bytes)
}

/// Text starts with many printable bytes. A model's first byte is the key of one of its fields, and for the fields it may
/// start with (1 to 14) that is a control character or, from field 4 on, a character followed by a length: it is the control
/// characters and zeros within the first bytes that tell the two apart.
fn text(bytes: &[u8]) -> Option<String> {
    let head = &bytes[..bytes.len().min(64)];
    let printable = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n');
    let utf8 = std::str::from_utf8(head).map_or_else(|e| e.error_len().is_none(), |_| true);
    if head.len() < 4 || !utf8 || !head.iter().all(|b| printable(b) || *b >= 0x80) {
        return None;
    }
    let start = String::from_utf8_lossy(head);
    let trimmed = start.trim_start().to_ascii_lowercase();
    if trimmed.starts_with("<!doctype html") || trimmed.starts_with("<html") {
        return Some("it is a web page (did the download return an error page or a login form?)".into());
    }
    let line = start.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Some(format!("it is text, starting with {}", super::error::quoted(line)))
}

#[cfg(test)]
mod tests {
    use super::not_onnx;

    #[test]
    fn other_formats_are_named() {
        let cases: &[(&[u8], &str)] = &[
            (b"", "empty"),
            (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
            (b"PK\x03\x04\x00\x00", "zip"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"  <!DOCTYPE html><html>", "web page"),
            (b"import torch\nprint(1)\n", "text, starting with \"import torch\""),
            (b"\x18\x00\x00\x00ORTM", ".ort"),
            (b"\x10\x00\x00\x00\x00\x00\x00\x00{\"a\":{}}", "safetensors"),
            (&[0; 100], "zero"),
        ];
        for (bytes, expected) in cases {
            let found = not_onnx(bytes).unwrap_or_else(|| panic!("{bytes:?} taken for ONNX"));
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn a_model_is_not_taken_for_something_else() {
        // ir_version 8, producer "pytorch"
        assert_eq!(not_onnx(b"\x08\x08\x12\x07pytorch:\x00"), None);
        // a graph first, with a printable length
        assert_eq!(not_onnx(b"\x3a\x20\x0a\x1e\x0a\x01x\x12\x01y\x1a\x01n"), None);
    }
}
