//! `mirage-sshfs keygen`: an ed25519 key pair in OpenSSH's file formats, for those without
//! ssh-keygen. The private key file is that of OpenSSH's PROTOCOL.key, without a passphrase.
use base64ct::{Base64, Encoding};
use ed25519_compact::{KeyPair, Seed};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes the private key to `path` and the public one to `path.pub`; neither may exist.
pub fn keygen(path: &Path, seed: [u8; 32], check: u32, comment: &str) -> io::Result<()> {
    let pair = KeyPair::from_seed(Seed::new(seed));
    let public = server::ed25519_blob(&pair.pk);
    let line = format!("ssh-ed25519 {} {comment}\n", Base64::encode_string(&public));
    create(path, 0o600, private_file(&pair, &public, check, comment).as_bytes())?;
    let mut pub_path = path.as_os_str().to_owned();
    pub_path.push(".pub");
    create(Path::new(&pub_path), 0o644, line.as_bytes())
}

fn create(path: &Path, mode: u32, contents: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    file.map_err(named)?.write_all(contents).map_err(named)
}

fn private_file(pair: &KeyPair, public: &[u8], check: u32, comment: &str) -> String {
    /// The cipher's block size when there is no cipher.
    const BLOCK: usize = 8;
    let mut secret = [check.to_be_bytes(), check.to_be_bytes()].concat();
    secret.extend_from_slice(public);
    string(&mut secret, pair.sk.as_ref());
    string(&mut secret, comment.as_bytes());
    let padding = secret.len().next_multiple_of(BLOCK) - secret.len();
    secret.extend((1..=padding).map(|n| n as u8));

    let mut file = b"openssh-key-v1\0".to_vec();
    for part in [b"none".as_slice(), b"none", b""] {
        string(&mut file, part);
    }
    file.extend(1u32.to_be_bytes());
    string(&mut file, public);
    string(&mut file, &secret);

    let text = Base64::encode_string(&file);
    let lines: Vec<_> = text.as_bytes().chunks(70).map(String::from_utf8_lossy).collect();
    let lines = lines.join("\n");
    format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{lines}\n-----END OPENSSH PRIVATE KEY-----\n")
}

/// A string of RFC 4251 section 5.
fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}
