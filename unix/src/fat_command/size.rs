//! Sizes as people write them.

/// `64M`, `64MiB`, `1G`, `65536K` or a number of bytes, in any case of letters.
///
/// # Errors
/// In words, beginning with what was written.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let power = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 1,
        "m" | "mib" => 2,
        "g" | "gib" => 3,
        "t" | "tib" => 4,
        // Powers of ten to some, of two to others.
        "kb" | "mb" | "gb" | "tb" => {
            let letter = unit.get(..1).unwrap_or_default();
            return Err(format!("{text}: write {digits}{letter} or {digits}{letter}iB"));
        }
        _ => return Err(bad(text)),
    };
    let number: u64 = digits.parse().map_err(|_| bad(text))?;
    let size = number.checked_mul(1 << (10 * power)).ok_or_else(|| bad(text))?;
    if !size.is_multiple_of(512) || size == 0 {
        let near = size.next_multiple_of(512).max(512);
        return Err(format!("{text}: no whole number of 512-byte sectors: {near} would be"));
    }
    Ok(size)
}

fn bad(text: &str) -> String {
    format!("{text}: this is no size: write it like 64M, 1G, 65536K, or in bytes")
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes() {
        for (text, size) in [
            ("64M", 64 << 20),
            ("64MiB", 64 << 20),
            ("64mib", 64 << 20),
            ("1G", 1 << 30),
            ("2T", 2 << 40),
            ("65536K", 64 << 20),
            ("163840", 163_840),
        ] {
            assert_eq!(parse(text), Ok(size), "{text}");
        }
        for (text, words) in [
            ("", "no size"),
            ("M", "no size"),
            ("-1", "no size"),
            ("1.5G", "no size"),
            ("99999999999999999999", "no size"),
            ("99999999999T", "no size"),
            ("64MB", "write 64M or 64MiB"),
            ("0", "512 would be"),
            ("1000", "1024 would be"),
        ] {
            assert!(parse(text).unwrap_err().contains(words), "{text}");
        }
    }
}
