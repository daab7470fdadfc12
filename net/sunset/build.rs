//! Copies the registry's sunset to OUT_DIR with the changes below. Every one must apply exactly
//! once, so that another version of sunset is never changed by accident.
use std::error::Error;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::{env, fs};

struct Change {
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

const CHANGES: &[Change] = &[
    // The crate's root is our src/lib.rs, which has these attributes itself.
    Change {
        file: "lib.rs",
        from: "//! Sunset SSH\n//!\n//! Sunset is a SSH library for embedded and larger systems. The core `sunset` crate\n//! is IO-less, suitable for both async and non-async uses.\n",
        to: "",
    },
    Change {
        file: "lib.rs",
        from: "#![cfg_attr(not(any(feature = \"std\", test)), no_std)]\n#![forbid(unsafe_code)]\n",
        to: "",
    },
    Change { file: "lib.rs", from: "#![deny(unused_must_use)]\n", to: "" },
    Change { file: "lib.rs", from: "#![allow(clippy::large_enum_variant)]\n", to: "" },
    Change { file: "lib.rs", from: "#![allow(clippy::collapsible_if)]\n", to: "" },
    // Windows and packets of file transfer. 32 KiB is what OpenSSH's clients send at most.
    Change {
        file: "config.rs",
        from: "DEFAULT_WINDOW: usize = 1000;",
        to: "DEFAULT_WINDOW: usize = 256 * 1024;",
    },
    Change {
        file: "config.rs",
        from: "DEFAULT_MAX_PACKET: usize = 1000;",
        to: "DEFAULT_MAX_PACKET: usize = 32 * 1024;",
    },
    // OpenSSH's MaxSessions.
    Change { file: "config.rs", from: "MAX_CHANNELS: usize = 4;", to: "MAX_CHANNELS: usize = 10;" },
    Change { file: "lib.rs", from: "mod random;\n", to: "mod bounded;\nmod random;\n" },
    Change {
        file: "error.rs",
        from: "use log::{debug, error, info, log, trace, warn};",
        to: "use crate::bounded::{debug, error, info, log, trace, warn};",
    },
    // The first exchange has ended when the client's NEWKEYS is here, not when ours is gone: until then nothing
    // may come between in strict key exchange, and nobody may log in.
    Change {
        file: "conn.rs",
        from: "if self.sess_id.is_some() {\n                    disp.event",
        to: "if self.sess_id.is_some() && matches!(self.kex, Kex::Idle) {\n                    disp.event",
    },
    Change {
        file: "conn.rs",
        from: "let r = if self.is_first_kex() && self.kex.is_strict() {",
        to: "let r = if self.is_strict_now() {",
    },
    Change {
        file: "conn.rs",
        from: "trace!(\"Unimplemented packet type {number}\");",
        to: "if self.is_strict_now() {\n                    return error::SSHProto.fail();\n                }",
    },
    // RFC 4253 11.1: nothing is taken after it.
    Change {
        file: "conn.rs",
        from: "disp.disconnect = true;",
        to: "return error::SessionEOF.fail();",
    },
    // RFC 4252 5.1: what comes after a success is ignored.
    Change {
        file: "servauth.rs",
        from: "trace!(\"Success after already authed\");\n            s.send(packets::UserauthSuccess {})?;",
        to: "",
    },
    // Every failure is counted, bad signatures and passwords among them.
    Change {
        file: "servauth.rs",
        from: "    tried_first: bool,\n\n    /// Username",
        to: "    tried_first: bool,\n\n    pub failures: u32,\n\n    /// Username",
    },
    Change {
        file: "servauth.rs",
        from: "tried_first: false,",
        to: "tried_first: false,\n            failures: 0,",
    },
    Change {
        file: "servauth.rs",
        from: "fn send_failure(&self, s: &mut TrafSend) -> Result<()> {",
        to: "fn send_failure(&mut self, s: &mut TrafSend) -> Result<()> {\n        self.failures = self.failures.saturating_add(1);",
    },
    // Which keys may log in and whether their signatures are right, `net` decides, of more kinds than sunset has:
    // additions/event.rs hands it the request as it came, and additions/runner.rs sends it back as it came.
    Change {
        file: "servauth.rs",
        from: "            AuthMethod::PubKey(_) if self.method_pubkey => {\n                self.request_pubkey(p, sess_id)?\n            }\n",
        to: "            AuthMethod::PubKey(m) if self.method_pubkey => {\n                DispatchEvent::ServEvent(ServEventId::PubkeyAuth { real_sig: m.sig.is_some() })\n            }\n",
    },
    Change {
        file: "runner.rs",
        from: "        let mut s = self.traf_out.sender(&mut self.keys);\n        let r = self.conn.resume_servauth_pkok(payload, &mut s);\n",
        to: "        let r = send_pkok(payload, &mut self.traf_out, &mut self.keys);\n",
    },
    Change {
        file: "lib.rs",
        from: "pub use event::{CliEvent, Event, ServEvent};",
        to: "pub use event::{CliEvent, Event, PubkeyOffer, ServEvent};",
    },
    // RFC 8308 3.1: which signatures `net` takes, of additions/kex.rs.
    Change {
        file: "kex.rs",
        from: "        if cfg!(feature = \"rsa\") {\n            // OK unwrap: namelist has capacity\n            let algs = ([SSH_NAME_RSA_SHA256, SSH_NAME_ED25519].as_slice())\n                .try_into()\n                .unwrap();\n            let ext =",
        to: "        if let Ok(algs) = SIGNATURES.as_slice().try_into() {\n            let ext =",
    },
    // RFC 8731 3: a shared secret of zeros ends the connection.
    Change {
        file: "kex.rs",
        from: "Ok(self.ours.take().trap()?.diffie_hellman(&theirs))",
        to: "let secret = self.ours.take().trap()?.diffie_hellman(&theirs);\n        if !secret.was_contributory() {\n            return error::BadKex.fail();\n        }\n        Ok(secret)",
    },
    // RFC 5656 4, of additions/kex.rs. It is not offered unless asked for.
    Change {
        file: "kex.rs",
        from: "    KexCurve25519(KexCurve25519),\n",
        to: "    KexCurve25519(KexCurve25519),\n    #[zeroize(skip)]\n    KexNistP256(KexNistP256),\n",
    },
    Change {
        file: "kex.rs",
        from: "            Self::KexCurve25519(_) => SSH_NAME_CURVE25519,\n",
        to: "            Self::KexCurve25519(_) => SSH_NAME_CURVE25519,\n            Self::KexNistP256(_) => NISTP256_NAME,\n",
    },
    Change {
        file: "kex.rs",
        from: "                Ok(SharedSecret::KexCurve25519(KexCurve25519::new()?))\n            }\n",
        to: "                Ok(SharedSecret::KexCurve25519(KexCurve25519::new()?))\n            }\n            NISTP256_NAME => Ok(SharedSecret::KexNistP256(KexNistP256::new())),\n",
    },
    Change {
        file: "kex.rs",
        from: "            Self::KexCurve25519(k) => k.pubkey(),\n",
        to: "            Self::KexCurve25519(k) => k.pubkey(),\n            Self::KexNistP256(k) => k.pubkey(),\n",
    },
    Change {
        file: "kex.rs",
        from: "            SharedSecret::KexCurve25519(k) => k.secret(p.q_s.0, kex_hash, true),\n",
        to: "            SharedSecret::KexCurve25519(k) => k.secret(p.q_s.0, kex_hash, true),\n            SharedSecret::KexNistP256(k) => k.secret(p.q_s.0, kex_hash, true),\n",
    },
    Change {
        file: "kex.rs",
        from: "                (k.secret(p.q_c.0, kex_hash, false)?, k.pubkey())\n            }\n",
        to: "                (k.secret(p.q_c.0, kex_hash, false)?, k.pubkey())\n            }\n            SharedSecret::KexNistP256(k) => {\n                (k.secret(p.q_c.0, kex_hash, false)?, k.pubkey())\n            }\n",
    },
    Change {
        file: "namelist.rs",
        from: "MAX_LOCAL_NAMES: usize = 6;",
        to: "MAX_LOCAL_NAMES: usize = 10;",
    },
    // A guess is Dropbear's when both sides say so.
    Change {
        file: "kex.rs",
        from: "p.kex.has_algo(SSH_NAME_KEXGUESS2)?;",
        to: "p.kex.has_algo(SSH_NAME_KEXGUESS2)? && conf.kexs.0.contains(&SSH_NAME_KEXGUESS2);",
    },
    // The ciphers are ours.
    Change { file: "lib.rs", from: "mod ssh_chapoly;\n", to: "" },
    Change {
        file: "kex.rs",
        from: "let enc = KeysSend::new(&output, sess_id, &algos);\n        s.rekey_send(enc);",
        to: "let enc = KeysSend::new(&output, sess_id, &algos)?;\n        s.rekey_send(enc);",
    },
    Change {
        file: "kex.rs",
        from: "let dec = KeysRecv::new(&output, sess_id, &algos);\n            s.rekey_recv(dec);",
        to: "let dec = KeysRecv::new(&output, sess_id, &algos)?;\n            s.rekey_recv(dec);",
    },
    // A client's EOF does not end our direction: `finish_channel` does, after the last reply.
    Change {
        file: "channel.rs",
        from: "if !self.sent_eof {\n            s.send(packets::ChannelEof { num: self.send_num()? })?;\n            self.sent_eof = true;\n        }\n\n        // Wake readers on EOF",
        to: "// Wake readers on EOF",
    },
];

/// Where sunset's lines go, in the place of the crate `log`.
const LOG: (&str, &str) = (
    "    log::{debug, error, info, log, trace, warn},",
    "    crate::bounded::{debug, error, info, log, trace, warn},",
);

/// Our methods, added to the end of sunset's own files because they need its private fields.
const ADDITIONS: &[&str] =
    &["channel.rs", "conn.rs", "event.rs", "kex.rs", "runner.rs", "sign.rs", "traffic.rs"];

/// Files of ours, some in the place of sunset's.
const OURS: &[&str] = &["bounded.rs", "encrypt.rs"];

/// Files that nothing needs then.
const REMOVED: &[&str] = &["ssh_chapoly.rs"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=additions");
    println!(
        "cargo::rustc-env=SUNSET_SSH_IDENT=SSH-2.0-mirage_sshfs_{}",
        env::var("CARGO_PKG_VERSION")?
    );

    let manifest_dir = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let source = registry_source()?;
    let out = PathBuf::from(env::var("OUT_DIR")?).join("sunset");
    fs::create_dir_all(&out)?;
    for name in OURS {
        fs::copy(manifest_dir.join("additions").join(name), out.join(name))?;
    }
    for entry in fs::read_dir(&source)? {
        let path = entry?.path();
        let name =
            path.file_name().and_then(|n| n.to_str()).ok_or("a file name that is not text")?;
        if REMOVED.contains(&name) || OURS.contains(&name) {
            continue;
        }
        let mut text = fs::read_to_string(&path)?.replace(LOG.0, LOG.1);
        for change in CHANGES.iter().filter(|c| c.file == name) {
            let found = text.matches(change.from).count();
            if found != 1 {
                return Err(format!(
                    "sunset's {name} has {:?} {found} times, not once",
                    change.from
                )
                .into());
            }
            text = text.replace(change.from, change.to);
        }
        if ADDITIONS.contains(&name) {
            text.push_str(&fs::read_to_string(manifest_dir.join("additions").join(name))?);
        }
        fs::write(out.join(name), text)?;
    }
    Ok(())
}

/// The folder of the registry's sunset. Cargo does not tell a build script where a dependency lies, and
/// `cargo metadata` needs every package of the workspace, of which cargo fetches only those that a build
/// takes. So sunset tells itself: who gives it bytes learns which line of it asks for them.
fn registry_source() -> Result<PathBuf, Box<dyn Error>> {
    use registry::packets::ParseContext;
    use registry::sshwire::{SSHDecode, SSHSource, WireResult};

    #[derive(Default)]
    struct Asked {
        file: &'static str,
        context: ParseContext,
    }

    impl<'de> SSHSource<'de> for Asked {
        #[track_caller]
        fn take(&mut self, _: usize) -> WireResult<&'de [u8]> {
            self.file = Location::caller().file();
            Ok(&[0])
        }

        fn remaining(&self) -> usize {
            1
        }

        fn ctx(&mut self) -> &mut ParseContext {
            &mut self.context
        }
    }

    let mut asked = Asked::default();
    u8::dec(&mut asked).map_err(|_| "sunset cannot decode a byte")?;
    let file = Path::new(asked.file);
    if !file.is_absolute() || !file.is_file() {
        return Err(
            format!("sunset's source is not at {}: is its path remapped?", file.display()).into()
        );
    }
    Ok(file.parent().ok_or("a file outside a folder")?.into())
}
