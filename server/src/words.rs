//! A guest's command line split into words by MirageOS' rules: white space separates, `"` toggles
//! quoting anywhere in a word, `\` takes the next character as it is, `'` is nothing special.
use alloc::string::String;
use alloc::vec::Vec;
use zeroize::Zeroizing;

/// The words of a command line. An open quote ends with the line.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    // Long enough for any, so that no copy of a secret is left where a shorter one was.
    let mut word = Zeroizing::new(String::with_capacity(line.len()));
    let (mut quoted, mut escaped) = (false, false);
    for c in line.chars() {
        match c {
            _ if escaped => {
                escaped = false;
                word.push(c);
            }
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(word.as_str().into());
                    word.clear();
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word.as_str().into());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn quotes_go_and_what_they_held_stays_one_word() {
        assert_eq!(words("-l \"*:debug\"  --port=22022 "), ["-l", "*:debug", "--port=22022"]);
        assert_eq!(
            words(r#"--key="ssh-ed25519 AAAA" x\ y \"z"#),
            ["--key=ssh-ed25519 AAAA", "x y", "\"z"]
        );
        assert_eq!(words("--seed 'a b'"), ["--seed", "'a", "b'"]);
    }

    #[test]
    fn an_open_quote_and_a_last_backslash_are_no_end_of_the_world() {
        assert_eq!(words("a \"b c"), ["a", "b c"]);
        assert_eq!(words("a\\"), ["a"]);
        assert!(words(" \t\"\" ").is_empty());
    }
}
