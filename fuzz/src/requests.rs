//! SFTP requests made of arbitrary bytes: right in form, and anything in what they say.
use client::request;
use libfuzzer_sys::arbitrary::{Result, Unstructured};

const NAMES: [&str; 20] = [
    "a",
    "A",
    "b.txt",
    "a longer name.text",
    "ALONGE~1.TEX",
    "d",
    "D/e",
    "d/e/f",
    "..",
    "../..",
    ".",
    "",
    "~",
    ".mirage-sshfs",
    "MIRAGE~1",
    "x:y*z?",
    "trailing. ",
    "😀",
    "con",
    "d/../a",
];

const EXTENSIONS: [&str; 11] = [
    "posix-rename@openssh.com",
    "statvfs@openssh.com",
    "fstatvfs@openssh.com",
    "fsync@openssh.com",
    "lsetstat@openssh.com",
    "limits@openssh.com",
    "expand-path@openssh.com",
    "copy-data",
    "home-directory",
    "hardlink@openssh.com",
    "nothing@example.com",
];

/// One request: known kinds mostly, with handles that may exist.
pub fn arbitrary(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let id = u.int_in_range(0..=9)?;
    let kind = match u.int_in_range(0..=24)? {
        kind @ 3..=20 => kind,
        21 => u.arbitrary()?,
        // What does most comes most.
        22 => 3,
        23 => 6,
        _ => 200,
    };
    let mut rest = Vec::new();
    match kind {
        3 => {
            string(&mut rest, &path(u)?);
            rest.extend(u.int_in_range(0u32..=0x3f)?.to_be_bytes());
            attributes(u, &mut rest)?;
        }
        4 | 8 | 12 => string(&mut rest, &handle(u)?),
        5 => {
            string(&mut rest, &handle(u)?);
            rest.extend(number(u)?.to_be_bytes());
            rest.extend((number(u)? as u32).to_be_bytes());
        }
        6 => {
            string(&mut rest, &handle(u)?);
            rest.extend(number(u)?.to_be_bytes());
            let data = vec![u.arbitrary()?; u.int_in_range(0..=20_000)?];
            string(&mut rest, &data);
        }
        7 | 11 | 13 | 15 | 16 | 17 | 19 => string(&mut rest, &path(u)?),
        9 | 14 => {
            string(&mut rest, &path(u)?);
            attributes(u, &mut rest)?;
        }
        10 => {
            string(&mut rest, &handle(u)?);
            attributes(u, &mut rest)?;
        }
        18 | 20 => {
            string(&mut rest, &path(u)?);
            string(&mut rest, &path(u)?);
        }
        200 => extended(u, &mut rest)?,
        _ => rest.extend(u.bytes(u.len().min(64))?),
    }
    if u.ratio(1, 50)? {
        rest.truncate(u.int_in_range(0..=rest.len())?);
    }
    Ok(request(kind, id, &[], &rest))
}

fn extended(u: &mut Unstructured<'_>, rest: &mut Vec<u8>) -> Result<()> {
    let name = *u.choose(&EXTENSIONS)?;
    string(rest, name.as_bytes());
    match name {
        "fstatvfs@openssh.com" | "fsync@openssh.com" => string(rest, &handle(u)?),
        "lsetstat@openssh.com" => {
            string(rest, &path(u)?);
            attributes(u, rest)?;
        }
        "copy-data" => {
            string(rest, &handle(u)?);
            rest.extend(number(u)?.to_be_bytes());
            rest.extend(number(u)?.to_be_bytes());
            string(rest, &handle(u)?);
            rest.extend(number(u)?.to_be_bytes());
        }
        _ => {
            string(rest, &path(u)?);
            string(rest, &path(u)?);
        }
    }
    Ok(())
}

fn string(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend((bytes.len() as u32).to_be_bytes());
    to.extend(bytes);
}

fn path(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    if u.ratio(1, 20)? {
        let length = u.int_in_range(0..=300)?.min(u.len());
        return Ok(u.bytes(length)?.to_vec());
    }
    let mut path = String::new();
    for _ in 0..u.int_in_range(1..=3)? {
        path.push_str(if u.ratio(1, 10)? { "//" } else { "/" });
        path.push_str(u.choose(&NAMES)?);
    }
    Ok(path.into_bytes())
}

/// Handles are serial numbers, so small ones exist.
fn handle(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    match u.int_in_range(0..=20)? {
        20 => Ok(u.bytes(u.len().min(9))?.to_vec()),
        19 => Ok(u.arbitrary::<u64>()?.to_be_bytes().to_vec()),
        small => Ok((small as u64 + 1).to_be_bytes().to_vec()),
    }
}

/// Offsets and lengths: of small files, at the bounds of FAT and of numbers, anything.
fn number(u: &mut Unstructured<'_>) -> Result<u64> {
    Ok(match u.int_in_range(0..=9)? {
        0 => u.arbitrary()?,
        1 => u64::MAX - u.int_in_range(0..=2)?,
        2 => (1 << 32) - 2 + u.int_in_range(0..=3)?,
        3 => 512 * u.int_in_range(1..=64)? - u.int_in_range(0..=1)?,
        _ => u.int_in_range(0..=40_000)?,
    })
}

fn attributes(u: &mut Unstructured<'_>, to: &mut Vec<u8>) -> Result<()> {
    let flags: u32 = if u.ratio(1, 20)? { u.arbitrary()? } else { u.int_in_range(0..=15)? };
    to.extend(flags.to_be_bytes());
    if flags & 1 != 0 {
        to.extend(number(u)?.to_be_bytes());
    }
    let words = [2, 2, 4, 8, 8, 0x8000_0000].iter().filter(|bit| flags & **bit != 0).count();
    for _ in 0..words {
        to.extend(u.arbitrary::<u32>()?.to_be_bytes());
    }
    Ok(())
}
