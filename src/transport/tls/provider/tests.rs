use super::*;

#[test]
fn p521_keys_verify_with_every_hash_in_tls_1_2_and_sha512_in_tls_1_3() {
    for (scheme, algorithms) in ALGORITHMS.mapping {
        let is_p_521 = algorithms
            .iter()
            .map(|one| one.public_key_alg_id() == alg_id::ECDSA_P521);
        let is_p_521: Vec<bool> = is_p_521.collect();
        match *scheme {
            SignatureScheme::ECDSA_NISTP256_SHA256 | SignatureScheme::ECDSA_NISTP384_SHA384 => {
                assert_eq!(is_p_521, [false, false, true], "{scheme:?}");
            }
            SignatureScheme::ECDSA_NISTP521_SHA512 => assert_eq!(is_p_521, [true]),
            _ => assert_eq!(is_p_521, [false], "{scheme:?}"),
        }
    }
}
