//! Decides whether a server's certificate is trusted.

use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::oid::db::rfc5280::{ANY_EXTENDED_KEY_USAGE, ID_KP_SERVER_AUTH};
use x509_cert::ext::pkix::ExtendedKeyUsage;

/// Trusts certificates that are signed by a trusted certificate, and those that are trusted certificates themselves.
///
/// webpki does not accept a CA certificate as a server's own, but that is what a self-signed certificate for an engine
/// often is. Go's verifier, which docker uses, ends the chain at a certificate that is itself trusted. This verifier
/// does the same: the certificate must be equal byte for byte, valid now, for servers, and for the name. The server
/// proves in the handshake that it has the key, as always.
#[derive(Debug)]
pub(super) struct PinOrChainVerifier {
    by_chain: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl PinOrChainVerifier {
    pub(super) fn new(by_chain: Arc<WebPkiServerVerifier>, trusted: Vec<CertificateDer<'static>>) -> Self {
        Self { by_chain, trusted }
    }
}

impl ServerCertVerifier for PinOrChainVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.trusted.contains(end_entity) {
            let by_chain = &self.by_chain;
            return by_chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        }
        check_use(end_entity, now)?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_chain.supported_verify_schemes()
    }
}

/// Checks that a certificate is valid now and may be used by a server.
fn check_use(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let refused = |reason: CertificateError| Err(Error::InvalidCertificate(reason));
    let unreadable = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
    let certificate = Certificate::from_der(certificate).map_err(unreadable)?;
    let certificate = certificate.tbs_certificate();
    let now = Duration::from_secs(now.as_secs());
    if now < certificate.validity().not_before.to_unix_duration() {
        return refused(CertificateError::NotValidYet);
    }
    if now > certificate.validity().not_after.to_unix_duration() {
        return refused(CertificateError::Expired);
    }
    let usage = certificate.get_extension::<ExtendedKeyUsage>().map_err(unreadable)?;
    let is_for_servers = usage.is_none_or(|(_, usage)| {
        let purposes = &usage.0;
        purposes.contains(&ID_KP_SERVER_AUTH) || purposes.contains(&ANY_EXTENDED_KEY_USAGE)
    });
    if !is_for_servers {
        return refused(CertificateError::InvalidPurpose);
    }
    Ok(())
}

/// Trusts every server, as docker does with only `--tls`, and for a context that skips the verification.
#[derive(Debug)]
pub(super) struct NoVerification {
    schemes: Vec<SignatureScheme>,
}

impl NoVerification {
    pub(super) fn new(provider: &CryptoProvider) -> Self {
        Self {
            schemes: provider.signature_verification_algorithms.supported_schemes(),
        }
    }
}

/// Signatures are not verified: a signature by a key that anybody may have created proves nothing, and verification
/// would only reject old forms of certificates that are in use where nobody verifies them.
impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
