//! The ciphers and MACs by the names that are negotiated.

/// A cipher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    ChaCha20Poly1305,
    Aes256Gcm,
    Aes128Gcm,
    Aes256Ctr,
    Aes128Ctr,
}

impl Name {
    /// The best first.
    pub const ALL: [Self; 5] = [
        Self::ChaCha20Poly1305,
        Self::Aes256Gcm,
        Self::Aes128Gcm,
        Self::Aes256Ctr,
        Self::Aes128Ctr,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChaCha20Poly1305 => "chacha20-poly1305@openssh.com",
            Self::Aes256Gcm => "aes256-gcm@openssh.com",
            Self::Aes128Gcm => "aes128-gcm@openssh.com",
            Self::Aes256Ctr => "aes256-ctr",
            Self::Aes128Ctr => "aes128-ctr",
        }
    }

    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    /// Bytes of its key.
    pub fn key(self) -> usize {
        match self {
            Self::ChaCha20Poly1305 => 64,
            Self::Aes256Gcm | Self::Aes256Ctr => 32,
            Self::Aes128Gcm | Self::Aes128Ctr => 16,
        }
    }

    /// Bytes of its initial vector.
    pub fn iv(self) -> usize {
        match self {
            Self::ChaCha20Poly1305 => 0,
            Self::Aes256Gcm | Self::Aes128Gcm => 12,
            Self::Aes256Ctr | Self::Aes128Ctr => 16,
        }
    }

    /// Whether it needs no MAC beside it.
    pub fn is_aead(self) -> bool {
        matches!(self, Self::ChaCha20Poly1305 | Self::Aes256Gcm | Self::Aes128Gcm)
    }
}

/// A MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mac {
    Sha256Etm,
    Sha512Etm,
    Sha256,
    Sha512,
}

impl Mac {
    /// The best first.
    pub const ALL: [Self; 4] = [Self::Sha256Etm, Self::Sha512Etm, Self::Sha256, Self::Sha512];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256Etm => "hmac-sha2-256-etm@openssh.com",
            Self::Sha512Etm => "hmac-sha2-512-etm@openssh.com",
            Self::Sha256 => "hmac-sha2-256",
            Self::Sha512 => "hmac-sha2-512",
        }
    }

    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    /// Bytes of its key and of what it makes.
    pub fn length(self) -> usize {
        match self {
            Self::Sha256 | Self::Sha256Etm => 32,
            Self::Sha512 | Self::Sha512Etm => 64,
        }
    }

    /// Whether it is over what was encrypted.
    pub fn is_etm(self) -> bool {
        matches!(self, Self::Sha256Etm | Self::Sha512Etm)
    }
}
