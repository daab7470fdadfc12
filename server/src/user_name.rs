//! What may be a user's name.

/// The rule of `is_user_name` in words.
pub const USER_NAME_RULE: &str = "a user name has 1 to 31 of the characters a-z A-Z 0-9 . _ - \
                                  and starts with none of . and -";

/// Whether `name` can be a user: it also names a file, `<user>.pub`.
pub fn is_user_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=31).contains(&name.len()) && name.chars().all(allowed) && !name.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_cannot_name_other_files() {
        for name in ["", "../x", ".ssh", "a/b", "-l", "a b", "a\0", &"x".repeat(32)] {
            assert!(!is_user_name(name), "{name:?}");
        }
        assert!(is_user_name("work_2.Mail-x"));
    }
}
