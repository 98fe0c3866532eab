//! The cryptography: ring's, and ECDSA with P-521, which ring lacks.

use std::sync::{Arc, LazyLock};

use p521::ecdsa::signature::Signer as _;
use p521::ecdsa::signature::hazmat::PrehashVerifier as _;
use p521::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use p521::pkcs8::DecodePrivateKey as _;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use tokio_rustls::rustls::crypto::{CryptoProvider, KeyProvider, WebPkiSupportedAlgorithms, ring};
use tokio_rustls::rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, PrivateKeyDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer,
    alg_id,
};
use tokio_rustls::rustls::sign::{self, Signer, public_key_to_spki};
use tokio_rustls::rustls::{Error, SignatureAlgorithm, SignatureScheme};

pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        signature_verification_algorithms: *ALGORITHMS,
        key_provider: &Keys,
        ..ring::default_provider()
    }
}

static ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> = LazyLock::new(|| {
    let of_ring = ring::default_provider().signature_verification_algorithms;
    // In TLS 1.2 a scheme names the hash but not the curve, so P-521 is added for each hash. TLS 1.3 uses only the
    // first algorithm of a scheme.
    let mapping = of_ring.mapping.iter().map(|&(scheme, algorithms)| match scheme {
        SignatureScheme::ECDSA_NISTP256_SHA256 => (scheme, and(algorithms, &[WITH_SHA256])),
        SignatureScheme::ECDSA_NISTP384_SHA384 => (scheme, and(algorithms, &[WITH_SHA384])),
        _ => (scheme, algorithms),
    });
    let own = (SignatureScheme::ECDSA_NISTP521_SHA512, &[WITH_SHA512][..]);
    WebPkiSupportedAlgorithms {
        all: and(of_ring.all, &[WITH_SHA256, WITH_SHA384, WITH_SHA512]),
        mapping: mapping.chain([own]).collect::<Vec<_>>().leak(),
    }
});

type Algorithms = &'static [&'static dyn SignatureVerificationAlgorithm];

fn and(some: Algorithms, more: Algorithms) -> Algorithms {
    [some, more].concat().leak()
}

#[derive(Debug)]
struct Verification {
    signature: AlgorithmIdentifier,
    hash: fn(&[u8]) -> Vec<u8>,
}

const WITH_SHA256: &dyn SignatureVerificationAlgorithm = &Verification {
    signature: alg_id::ECDSA_SHA256,
    hash: |message| Sha256::digest(message).to_vec(),
};

const WITH_SHA384: &dyn SignatureVerificationAlgorithm = &Verification {
    signature: alg_id::ECDSA_SHA384,
    hash: |message| Sha384::digest(message).to_vec(),
};

const WITH_SHA512: &dyn SignatureVerificationAlgorithm = &Verification {
    signature: alg_id::ECDSA_SHA512,
    hash: |message| Sha512::digest(message).to_vec(),
};

impl SignatureVerificationAlgorithm for Verification {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P521
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }

    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let verify = || {
            let signature = DerSignature::try_from(signature)?;
            VerifyingKey::from_sec1_bytes(key)?.verify_prehash(&(self.hash)(message), &signature)
        };
        verify().map_err(|_| InvalidSignature)
    }
}

#[derive(Debug)]
struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, der: PrivateKeyDer<'static>) -> Result<Arc<dyn sign::SigningKey>, Error> {
        ring::default_provider()
            .key_provider
            .load_private_key(der.clone_key())
            .or_else(|reason| Ok(Arc::new(Key::from_der(&der).ok_or(reason)?) as _))
    }
}

#[derive(Clone, Debug)]
struct Key(SigningKey);

impl Key {
    fn from_der(der: &PrivateKeyDer<'_>) -> Option<Self> {
        let key = match der {
            PrivateKeyDer::Pkcs8(der) => p521::SecretKey::from_pkcs8_der(der.secret_pkcs8_der()).ok(),
            PrivateKeyDer::Sec1(der) => p521::SecretKey::from_sec1_der(der.secret_sec1_der()).ok(),
            _ => None,
        };
        key.map(|key| Self(key.into()))
    }
}

impl sign::SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let is_offered = offered.contains(&self.scheme());
        is_offered.then(|| Box::new(self.clone()) as _)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        let point = self.0.verifying_key().to_sec1_point(false);
        Some(public_key_to_spki(&alg_id::ECDSA_P521, point))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature: DerSignature = self
            .0
            .try_sign(message)
            .map_err(|error| Error::General(error.to_string()))?;
        Ok(signature.as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP521_SHA512
    }
}

#[cfg(test)]
mod tests {
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
}
