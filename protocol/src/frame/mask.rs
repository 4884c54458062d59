//! The mask of a client's frames (RFC 6455 section 5.3).

/// The key of one masked frame.
pub type MaskKey = [u8; 4];

/// Takes the mask off `bytes`, which begin `offset` bytes into the payload; a second call puts it on again.
pub fn unmask(key: MaskKey, offset: u64, bytes: &mut [u8]) {
    let mut turned = key;
    turned.rotate_left((offset & 3) as usize);
    let wide = u64::from(u32::from_ne_bytes(turned));
    let wide = (wide | wide << 32).to_ne_bytes();
    let (blocks, rest) = bytes.as_chunks_mut::<8>();
    for block in blocks {
        *block = (u64::from_ne_bytes(*block) ^ u64::from_ne_bytes(wide)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(wide) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_rfc_example_is_unmasked() {
        let mut payload = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        unmask([0x37, 0xfa, 0x21, 0x3d], 0, &mut payload);
        assert_eq!(&payload, b"Hello");
    }

    proptest! {
        #[test]
        fn any_cut_of_a_payload_is_unmasked_alike(
            key: MaskKey,
            payload in proptest::collection::vec(any::<u8>(), 0..100),
            cut in 0usize..100,
        ) {
            let cut = cut.min(payload.len());
            let plain: Vec<u8> = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
            let mut parts = payload;
            unmask(key, 0, &mut parts[..cut]);
            unmask(key, cut as u64, &mut parts[cut..]);
            prop_assert_eq!(parts, plain);
        }
    }
}
