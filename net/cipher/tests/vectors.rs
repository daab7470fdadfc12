//! Packets as other programs make them: OpenSSL's ciphers through Python's `cryptography`, put together as
//! RFC 4253, RFC 4344 and OpenSSH's PROTOCOL say. Keys are `key(1)` and, of MACs, `key(2)`; packet n is
//! `plain(n)`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use packet_cipher::{Broken, Cipher, LENGTH, Mac, Name};

struct Vector {
    name: Name,
    mac: Option<Mac>,
    iv: &'static str,
    /// Sequence number, and the packet in hexadecimal.
    packets: &'static [(u32, &'static [&'static str])],
}

fn key(length: usize, start: usize) -> Vec<u8> {
    (0..length).map(|i| (start + 3 * i) as u8).collect()
}

fn plain(number: usize, length: usize) -> Vec<u8> {
    let mut packet = ((length - LENGTH) as u32).to_be_bytes().to_vec();
    packet.push(4);
    packet.extend((0..length - 5).map(|i| (number * 31 + i * 7) as u8));
    packet
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn cipher(vector: &Vector) -> Box<dyn Cipher> {
    let (name, mac) = (vector.name, vector.mac);
    let mac_key = key(mac.map_or(0, Mac::length), 2);
    packet_cipher::new(name, mac, &key(name.key(), 1), &bytes(vector.iv), &mac_key).unwrap()
}

/// Opens a packet as a connection does: its head first.
fn open(cipher: &mut dyn Cipher, sequence: u32, packet: &mut [u8]) -> Result<u32, Broken> {
    let head = cipher.shape().head;
    let length = cipher.length(sequence, &mut packet[..head])?;
    cipher.open(sequence, packet).map(|()| length)
}

#[test]
fn packets_are_those_of_other_programs() {
    for vector in VECTORS {
        let (mut sealing, mut opening) = (cipher(vector), cipher(vector));
        let tag = sealing.shape().tag;
        for (number, (sequence, hex)) in vector.packets.iter().enumerate() {
            let wire = bytes(&hex.concat());
            let mut packet = plain(number, wire.len() - tag);
            let clear = packet.clone();
            packet.resize(wire.len(), 0);
            sealing.seal(*sequence, &mut packet).unwrap();
            assert_eq!(packet, wire, "{:?} {:?} {} {number}", vector.name, vector.mac, vector.iv);
            let length = open(&mut *opening, *sequence, &mut packet).unwrap();
            assert_eq!(length as usize, clear.len() - LENGTH);
            assert_eq!(packet[LENGTH..clear.len()], clear[LENGTH..]);
        }
    }
}

#[test]
fn a_changed_bit_anywhere_and_another_sequence_number_are_noticed() {
    for vector in VECTORS {
        let (sequence, hex) = vector.packets[0];
        let wire = bytes(&hex.concat());
        for bit in 0..wire.len() * 8 {
            let mut packet = wire.clone();
            packet[bit / 8] ^= 1 << (bit % 8);
            // A changed length is told by the caller, who then waits for other bytes.
            let opened = open(&mut *cipher(vector), sequence, &mut packet);
            assert!(opened.is_err(), "{:?} {:?}: bit {bit}", vector.name, vector.mac);
        }
        // GCM's nonce is not the sequence number (RFC 5647 7.1).
        if !format!("{:?}", vector.name).contains("Gcm") {
            let opened = open(&mut *cipher(vector), sequence.wrapping_add(1), &mut wire.clone());
            assert!(opened.is_err(), "{:?} {:?}", vector.name, vector.mac);
        }
    }
}

#[test]
fn what_is_too_short_for_a_packet_is_broken_and_nothing_else() {
    for vector in VECTORS {
        for length in 0..cipher(vector).shape().tag + LENGTH {
            let mut packet = vec![0; length];
            let mut cipher = cipher(vector);
            let _ = cipher.length(0, &mut packet);
            assert_eq!(cipher.open(0, &mut packet), Err(Broken));
            assert_eq!(cipher.seal(0, &mut packet), Err(Broken));
        }
    }
}

/// The key stream is made in pieces that depend on the length.
#[test]
fn chacha_packets_of_every_length_are_those_of_the_libraries_put_together() {
    use chacha20::ChaCha20Legacy;
    use cipher::{KeyIvInit, StreamCipher};
    use poly1305::{Poly1305, universal_hash::KeyInit};
    let keys = key(64, 1);
    for length in (12..2400).step_by(8).chain([32_776, 34_988]) {
        let sequence = (length as u32).wrapping_mul(0x0101_0101);
        let nonce = u64::from(sequence).to_be_bytes();
        let stream = |half: usize| {
            ChaCha20Legacy::new_from_slices(&keys[half * 32..][..32], &nonce).unwrap()
        };
        let clear = plain(length, length);
        let mut expected = clear.clone();
        stream(1).apply_keystream(&mut expected[..LENGTH]);
        let (mut body, mut first) = (stream(0), [0; 64]);
        body.apply_keystream(&mut first);
        body.apply_keystream(&mut expected[LENGTH..]);
        let tag = Poly1305::new_from_slice(&first[..32]).unwrap().compute_unpadded(&expected);
        expected.extend(tag);
        let new = || packet_cipher::new(Name::ChaCha20Poly1305, None, &keys, &[], &[]).unwrap();
        let mut packet = clear.clone();
        packet.resize(length + 16, 0);
        new().seal(sequence, &mut packet).unwrap();
        assert!(packet == expected, "{length}");
        assert_eq!(open(&mut *new(), sequence, &mut packet), Ok(length as u32 - 4));
        assert!(packet[LENGTH..length] == clear[LENGTH..], "{length}");
    }
}

/// Key stream and hash are made in pieces that depend on the length.
#[test]
fn aes_packets_of_every_length_are_those_of_the_libraries_put_together() {
    use aes_gcm::aead::AeadInOut;
    use aes_gcm::{Aes256Gcm, KeyInit};
    use cipher::{KeyIvInit, StreamCipher};
    use hmac::Mac as _;
    let (key, iv, mac_key) = (key(32, 1), key(16, 3), key(32, 2));
    let new =
        |name, mac| packet_cipher::new(name, mac, &key, &iv[..Name::iv(name)], &mac_key).unwrap();
    for length in (20..2400).step_by(16).chain([32_772, 35_012]) {
        let clear = plain(length, length);
        let mut gcm = clear.clone();
        let library = Aes256Gcm::new_from_slice(&key).unwrap();
        let nonce = iv[..12].try_into().unwrap();
        let (head, body) = gcm.split_at_mut(LENGTH);
        let tag = library.encrypt_inout_detached(nonce, head, body.into()).unwrap();
        gcm.extend(tag);
        let mut etm = clear.clone();
        let mut stream = ctr::Ctr128BE::<aes::Aes256>::new_from_slices(&key, &iv).unwrap();
        stream.apply_keystream(&mut etm[LENGTH..]);
        let mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&mac_key).unwrap();
        let mac = mac.chain_update(7u32.to_be_bytes()).chain_update(&etm);
        etm.extend(mac.finalize().into_bytes());
        let etm = (Name::Aes256Ctr, Some(Mac::Sha256Etm), etm);
        for (name, mac, expected) in [(Name::Aes256Gcm, None, gcm), etm] {
            let mut packet = clear.clone();
            packet.resize(expected.len(), 0);
            new(name, mac).seal(7, &mut packet).unwrap();
            assert!(packet == expected, "{name:?} {length}");
            assert_eq!(open(&mut *new(name, mac), 7, &mut packet), Ok(length as u32 - 4));
            assert!(packet[..length] == clear, "{name:?} {length}");
        }
    }
}

#[test]
fn names_are_found_and_keys_of_other_lengths_refused() {
    for name in Name::ALL {
        assert_eq!(Name::find(name.as_str()), Some(name));
        let mac = (!name.is_aead()).then_some(Mac::Sha256);
        let (key, iv, mac_key) = (key(name.key(), 1), key(name.iv(), 1), key(32, 2));
        assert!(packet_cipher::new(name, mac, &key, &iv, &mac_key).is_some());
        assert!(packet_cipher::new(name, mac, &key[1..], &iv, &mac_key).is_none());
    }
    for mac in Mac::ALL {
        assert_eq!(Mac::find(mac.as_str()), Some(mac));
    }
    assert!(packet_cipher::new(Name::Aes256Ctr, None, &key(32, 1), &key(16, 1), &[]).is_none());
}

const VECTORS: &[Vector] = &[
    Vector {
        name: Name::Aes256Ctr,
        mac: Some(Mac::Sha256),
        iv: "101112131415161718191a1bfffffffe",
        packets: &[
            (
                7,
                &[
                    "2428168cbba5d310041f2d2a5c6962d7394fc9ac6f0e92575f0d585bbbe62efe9ec641684ccc5e62",
                    "9aadcdf149792c60bf8e6116ff759b029df519616d99980431414f97a751127335c7d784200ee28d",
                ],
            ),
            (
                8,
                &[
                    "480670dca1cc9072ac76bf9a581e252b9addcccacefc8a0add6e59e016b32f69b749e897a0de3322",
                    "13dfbe17b35b36894610e5b33b2d0076429286aa6d3cfa1cc0836138f0238899e6706b6c874f435a",
                ],
            ),
        ],
    },
    Vector {
        name: Name::Aes256Ctr,
        mac: Some(Mac::Sha256),
        iv: "1011121314151617fffffffffffffffe",
        packets: &[
            (
                7,
                &[
                    "04d0c1cbf9a40f6b64fb0064358dbe54463d2b31e8018efe3da1f1f7ecb85604fb2ba4ea0e4ce1f6",
                    "c8e23a2c6bd6f0b3bf8e6116ff759b029df519616d99980431414f97a751127335c7d784200ee28d",
                ],
            ),
            (
                8,
                &[
                    "4d53b02a73fe98d33849dd5b6b200c5ba0f4bb48208122267fd1785f6d0a1e6c40a13f25e89ed8be",
                    "072583330db79d6e4610e5b33b2d0076429286aa6d3cfa1cc0836138f0238899e6706b6c874f435a",
                ],
            ),
        ],
    },
    Vector {
        name: Name::Aes256Ctr,
        mac: Some(Mac::Sha256),
        iv: "fffffffffffffffffffffffffffffffe",
        packets: &[
            (
                7,
                &[
                    "bb0118f5e21d5f35e060945083cc6587b333a12dff75502d57cdfdab7a4d74e7cf80fbe6aac21c91",
                    "31195084c2172ee5bf8e6116ff759b029df519616d99980431414f97a751127335c7d784200ee28d",
                ],
            ),
            (
                8,
                &[
                    "936944fced4922573e136d703a4acd15713da4eca12abf88af21bc8aa7abf10e0449b5f4d917dfb8",
                    "339547bd14f9651f4610e5b33b2d0076429286aa6d3cfa1cc0836138f0238899e6706b6c874f435a",
                ],
            ),
        ],
    },
    Vector {
        name: Name::Aes128Ctr,
        mac: Some(Mac::Sha256),
        iv: "101112131415161718191a1bfffffffe",
        packets: &[
            (
                7,
                &[
                    "5fdd2924a72059a700bd9385a9cba37e661899819d6bcd9ca33e914d9075106e490087c05826215d",
                    "c4b7d770ac9b0bb2bf8e6116ff759b029df519616d99980431414f97a751127335c7d784200ee28d",
                ],
            ),
            (
                8,
                &[
                    "eaac4cdfbe5be38ca5cb2b81cd0f34cf6eafba4f836da8cf111c3506f2ab06ad80c43c02c70d8c26",
                    "9a110bf0502853e84610e5b33b2d0076429286aa6d3cfa1cc0836138f0238899e6706b6c874f435a",
                ],
            ),
        ],
    },
    Vector {
        name: Name::Aes128Ctr,
        mac: Some(Mac::Sha256),
        iv: "1011121314151617fffffffffffffffe",
        packets: &[
            (
                7,
                &[
                    "6cb36d45a1d203ab984bcd994f181685ea30d36da89789bd63953a3b57204e2726991e56ad833585",
                    "669998e61130450bbf8e6116ff759b029df519616d99980431414f97a751127335c7d784200ee28d",
                ],
            ),
            (
                8,
                &[
                    "1afcf2644d6d9747b38ba039c91d964ab83354d47c85e8e84152698a69fe02fc78715f6a1c6b1d2b",
                    "7b022919879c571c4610e5b33b2d0076429286aa6d3cfa1cc0836138f0238899e6706b6c874f435a",
                ],
            ),
        ],
    },
    Vector {
        name: Name::Aes128Ctr,
        mac: Some(Mac::Sha256),
        iv: "fffffffffffffffffffffffffffffffe",
        packets: &[
            (
                7,
                &[
                    "de1109bcb09abc4e599d2bd77a352cef76678082f5b41f6d12d92c90bfe03a0cc01a0e2137836ff9",
                    "22e4681ddd7228cabf8e6116ff759b029df519616d99980431414f97a751127335c7d784200ee28d",
                ],
            ),
            (
                8,
                &[
                    "b639f113eb794c960cc4f8f6ba72de8023ede489ab066b3973d90899b9932fda7b410e4c026f96b1",
                    "db8cd34d67e4888e4610e5b33b2d0076429286aa6d3cfa1cc0836138f0238899e6706b6c874f435a",
                ],
            ),
        ],
    },
    Vector {
        name: Name::Aes256Ctr,
        mac: Some(Mac::Sha512),
        iv: "fffffffffffffffffffffffffffffffe",
        packets: &[
            (
                u32::MAX,
                &[
                    "bb0118c5e21d5f35e060945083cc6587b333a12dff75502d57cdfdab7a4d74e7878fea5537a83794",
                    "ebb487ad2c78c4997f8fad752b3577d52aa71189ebf26e272a12f67fc8ac624797ec56e038f0c5f4",
                    "ec036c772f4e541d86b60f5fbc17fa1f",
                ],
            ),
            (
                0,
                &[
                    "72443028773ddd52f0de11c783586fa6ff1a3e5161d992e7ae839d80aada5da5e766cfdfaf1cc076",
                    "9cfa44f3ec5f859233d259b70b165bf8acb9d357a43c9c3e1debe52d94b56e19a0901f8a9510fa8a",
                    "141dd51cf08f57809c2f9bad9b26cc61",
                ],
            ),
        ],
    },
    Vector {
        name: Name::Aes256Ctr,
        mac: Some(Mac::Sha256Etm),
        iv: "fffffffffffffffffffffffffffffffe",
        packets: &[
            (
                u32::MAX,
                &[
                    "00000020bf011fd7f3017b11c444883cffa001a397178d311389b4c973e9c18766211083ccb24e57",
                    "f5354cbc4f7bd46e32ba076226f77ab98dc7ea6c49d00dea3cc83e7c",
                ],
            ),
            (
                0,
                &[
                    "00000020765b16194719b93694b20debbf7c4b421be6d24d4dfdb6c3caefe1ecb6fe79815c07da2d",
                    "1f4dc3c6cb0659522b2d1ff2909117a413bfc514c60b984acdb16a17",
                ],
            ),
        ],
    },
    Vector {
        name: Name::Aes256Ctr,
        mac: Some(Mac::Sha512Etm),
        iv: "fffffffffffffffffffffffffffffffe",
        packets: &[
            (
                u32::MAX,
                &[
                    "00000020bf011fd7f3017b11c444883cffa001a397178d311389b4c973e9c18766211083f32dda47",
                    "e0e15243e8ea6ec86bfb899d549b3fd4512933d984e88587db59ec2cf61a7f30700e66b3b5772e42",
                    "d11c0ab5acb656d8e214bf8a91feace2e7dfd03a",
                ],
            ),
            (
                0,
                &[
                    "00000020765b16194719b93694b20debbf7c4b421be6d24d4dfdb6c3caefe1ecb6fe79815e9d694e",
                    "136a4081bd711be4c8f0df69ea4a6907d5debfd7ae04c25445d023bb48bf45c62d254fe32f4d7681",
                    "97292260e69cbb103a6c0f8af1dfe1d9abb7aae8",
                ],
            ),
        ],
    },
    Vector {
        name: Name::ChaCha20Poly1305,
        mac: None,
        iv: "",
        packets: &[
            (
                0,
                &[
                    "21f56bdc14d44e95940fcc65e1ead9dc82987953f790e27e036e10941b2b1c12f5e98aa3a1f662c2",
                    "15d3877b4c080ead9aa98dcaf250e0dd4ebed32ad29023f8c884822a91493531b305d5647878a06b",
                    "576e257d5601b19e3bfc8bf8fa1048f3ad9fd2c4ae1e47164814c7fdfb13e0ac51be0cd8e6bcc784",
                    "b7e398c58bc3e6a81b215da11d23c69adb8191079e3cf60a25e47a2a03d8f9a7e6bc59bd1cbf4083",
                    "424a98fc322c2eb8cb2154815af80dda2da5ff59",
                ],
            ),
            (
                u32::MAX,
                &[
                    "01b9e1eed9a739f6240ed09accdc228d7e95dea3bfa4860938df951a5f5cbf6909de3b98305e2ac7",
                    "9d986dcd58f1139dc85f528401b46f8854f09e0f43c7097d44a8081720cea073476d02bd1bc40ce5",
                    "0fa498f62800dbd5e44744a5ea6adfd155c4faf692a947d1396c8fd0e25b5a1fa1d7c3e298721d43",
                    "bc5a139ec7d877fadb52aab3c53f33913c0fdceb30e4c14612c7e832e509f9f6ea52f5a112330495",
                    "7ac4f3ae33d65b9f9c1505c661afc5c1f9226794",
                ],
            ),
        ],
    },
    Vector {
        name: Name::Aes256Gcm,
        mac: None,
        iv: "10111213fffffffffffffffe",
        packets: &[
            (
                0,
                &[
                    "0000002063728763b825e2c01da15cba2a19bc2db4b5ad4aa84d847f14538f3f6a014bc2c2adcd0f",
                    "f4fc3b6b57035212d43f9bd3",
                ],
            ),
            (
                1,
                &[
                    "0000002022779ba3803fe903007066a1777993d66d0d15a6bcd9b6f6b25712d38deb2451907bee8a",
                    "4e035ba3d6d286c2ff6978ea",
                ],
            ),
            (
                2,
                &[
                    "0000002012fded06ecf2f7f8a1c58bda0581b6dff17c7703f0dd92edf28b7f171d1995ea5c1d73f6",
                    "da1d0401470fdfa3ee6723da",
                ],
            ),
        ],
    },
    Vector {
        name: Name::Aes128Gcm,
        mac: None,
        iv: "10111213fffffffffffffffe",
        packets: &[
            (
                0,
                &[
                    "000000208f064c08580bc585c2f1cf29bf6fd3ebfbd537f7fec6bc0306196c31e9b897d7562ca92c",
                    "7810d0235fdc71e01ba948cc",
                ],
            ),
            (
                1,
                &[
                    "00000020598ca65456611d56c423ac724a8dc4c17626dadc9611568630f0d8111672c702068795c1",
                    "b06f17919ea68f96acba7f78",
                ],
            ),
            (
                2,
                &[
                    "000000201fab58f58ce2e8a49dd00c6ede5890922b4f7cfa74a03caccc79410c745f581cc79217ef",
                    "2073ff72bde79a82de8092dd",
                ],
            ),
        ],
    },
];
