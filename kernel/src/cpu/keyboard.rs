//! The keyboard controller (Intel 8042), for the one thing that a host says by it: Ctrl-Alt-Del.
use crate::cpu::port::Port;

/// Ctrl, Alt and Del: in set 2, and in set 1, to which firmware tells some controllers to translate. Neither
/// set has the last of the other.
const CODES: [[u8; 3]; 2] = [[0x14, 0x11, 0x71], [0x1d, 0x38, 0x53]];
/// Before the code of a key that is let go, in set 2; in set 1 a bit of the code says so.
const RELEASED: u8 = 0xf0;
const RELEASED_BIT: u8 = 0x80;
/// Before the code of a key that the first PC had not.
const EXTENDED: u8 = 0xe0;

/// What a port without a device reads as.
const NOTHING: u8 = 0xff;

/// Which keys are held.
#[derive(Debug, Default)]
pub struct Keyboard {
    /// Ctrl and Alt, in both sets.
    held: [[bool; 2]; 2],
    /// The code before was `RELEASED`.
    released: bool,
}

impl Keyboard {
    /// Takes what keys were pressed; true when Ctrl-Alt-Del was among them.
    pub fn poll(&mut self) -> bool {
        const FULL: u8 = 1;
        /// More than any controller keeps.
        const MOST: usize = 64;
        let codes = (0..MOST).map_while(|_| {
            let status = Port::KeyboardStatus.read();
            (status != NOTHING && status & FULL != 0).then(|| Port::KeyboardData.read())
        });
        // All are taken, so that a controller that is full has room again.
        codes.fold(false, |asked, code| self.take(code) | asked)
    }

    /// The next code; true when it completes Ctrl-Alt-Del.
    fn take(&mut self, code: u8) -> bool {
        match code {
            EXTENDED => return false,
            RELEASED => {
                self.released = true;
                return false;
            }
            _ => (),
        }
        let released = core::mem::take(&mut self.released);
        let mut asked = false;
        for ([control, alt, delete], held) in CODES.into_iter().zip(&mut self.held) {
            for (key, held) in [control, alt].into_iter().zip(held.iter_mut()) {
                *held = if code == key { !released } else { *held && code != key | RELEASED_BIT };
            }
            asked |= code == delete && !released && *held == [true; 2];
        }
        asked
    }
}

/// Resets the machine, if there is a controller that can; Firecracker ends by this.
pub fn reset() {
    const RESET: u8 = 0xfe;
    if Port::KeyboardStatus.read() != NOTHING {
        Port::KeyboardStatus.write(RESET);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(codes: &[u8]) -> bool {
        let mut keyboard = Keyboard::default();
        codes.iter().fold(false, |asked, &code| keyboard.take(code) | asked)
    }

    #[test]
    fn control_alt_delete_is_asked_for() {
        // As Firecracker sends it, and as QEMU does, right keys included.
        assert!(asks(&[0x14, 0x11, 0xe0, 0x71]));
        assert!(asks(&[0x14, 0x11, 0xe0, 0x71, 0xe0, 0xf0, 0x71, 0xf0, 0x11, 0xf0, 0x14]));
        assert!(asks(&[0xe0, 0x14, 0xe0, 0x11, 0x71]));
        // Translated.
        assert!(asks(&[0x1d, 0x38, 0xe0, 0x53, 0xe0, 0xd3, 0xb8, 0x9d]));
    }

    #[test]
    fn other_keys_ask_for_nothing() {
        assert!(!asks(&[0x14, 0x11]));
        assert!(!asks(&[0x14, 0xe0, 0x71]));
        assert!(!asks(&[0x14, 0x11, 0xf0, 0x14, 0xe0, 0x71]), "control was let go");
        assert!(!asks(&[0x14, 0x11, 0xe0, 0xf0, 0x71]), "delete was let go");
        assert!(!asks(&[0x1d, 0x38, 0x9d, 0xe0, 0x53]), "the same, translated");
        assert!(!asks(&[0x1d, 0x38, 0x71]), "of two sets");
        assert!(!asks(&[0xff; 64]));
    }
}
