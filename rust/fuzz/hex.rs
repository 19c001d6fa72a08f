// SPDX-License-Identifier: GPL-2.0
//! Inputs as text.

/// As hexadecimal digits, 32 bytes a line.
pub fn encode(bytes: &[u8]) -> String {
    let lines = bytes.chunks(32).map(|line| {
        let digits = line.iter().map(|byte| format!("{byte:02x}"));
        digits.collect::<String>()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// From hexadecimal digits. White space, and lines that begin with `#`, do not count; `None` if there is anything
/// else.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let digits = lines.flat_map(str::chars).filter(|c| !c.is_whitespace());
    let digits = digits.map(|c| Some(c.to_digit(16)? as u8));
    let digits = digits.collect::<Option<Vec<u8>>>()?;
    let pairs = digits.chunks_exact(2);
    let is_whole = pairs.remainder().is_empty();
    is_whole.then(|| pairs.map(|pair| (pair[0] << 4) | pair[1]).collect())
}
