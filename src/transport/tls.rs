//! Makes TLS connections with the contents of PEM files.

mod fault;
mod provider;
mod verifier;

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, Error as Rustls, RootCertStore};

use crate::endpoint::{Pem, Tls};
use crate::error::{Error, Remedy};

pub(super) use fault::fault_of_answer;
use fault::{inner, refused};
use provider::provider;
use verifier::{NoVerification, PinOrChainVerifier};

/// Makes the TLS connection over an open TCP connection.
pub(super) async fn handshake(
    connector: &TlsConnector,
    tls: &Tls,
    host: &str,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, Error> {
    let connected = connector.connect(server_name(host)?, stream).await;
    connected.map_err(|error| fault::of_handshake(error, tls, host))
}

/// Returns whether the server speaks TLS. Sends no client certificate, and does not verify the server's.
pub(super) async fn speaks_tls(stream: TcpStream) -> bool {
    let anybody = Tls {
        ca: None,
        identity: None,
        verify: false,
    };
    let (Ok(connector), Ok(name)) = (connector(&anybody), server_name("localhost")) else {
        return false;
    };
    match connector.connect(name, stream).await {
        Ok(_) => true,
        Err(error) => inner(&error).is_some_and(|error| !matches!(error, Rustls::InvalidMessage(_))),
    }
}

/// Returns the name that the server's certificate has to be for. The zone of an IPv6 address has a meaning only on
/// this machine.
fn server_name(host: &str) -> Result<ServerName<'static>, Error> {
    let name = host.split_once('%').map_or(host, |(address, _)| address);
    ServerName::try_from(name.to_owned())
        .map_err(|_| refused(format!("`{host}` is not a valid name for a certificate")))
}

/// Returns what all connections to one endpoint share: later connections resume the session of the first.
pub(super) fn connector(tls: &Tls) -> Result<TlsConnector, Error> {
    let provider = Arc::new(provider());
    let verifier = verifier(tls, &provider)?;
    // The default versions are TLS 1.2 and 1.3.
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match &tls.identity {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => config
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(|error| fault::of_identity(&error, certificate, key))?,
    };
    Ok(Arc::new(config).into())
}

fn verifier(tls: &Tls, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    if !tls.verify {
        return Ok(Arc::new(NoVerification::new(provider)));
    }
    let mut roots = RootCertStore::empty();
    let trusted = if let Some(ca) = &tls.ca {
        let trusted = certificates(ca)?;
        for certificate in &trusted {
            roots
                .add(certificate.clone())
                .map_err(|error| refused(format!("{} contains an invalid certificate: {error}", ca.name)))?;
        }
        trusted
    } else {
        // A broken file among the system's certificates must not make this connection fail.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Vec::new()
    };
    let by_chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    let by_chain = by_chain.map_err(|_| {
        refused("this system has no list of trusted CAs, and no CA is configured").with_remedies([Remedy::NameCa])
    })?;
    Ok(Arc::new(PinOrChainVerifier::new(by_chain, trusted)))
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(refused(format!("{} contains no certificate in PEM format", pem.name))),
    }
}

/// Errors must not contain any of the file's contents.
fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>, Error> {
    const ENCRYPTED: &[u8] = b"ENCRYPTED";
    if memchr::memmem::find(&pem.bytes, ENCRYPTED).is_some() {
        return Err(refused(format!(
            "the key in {} is encrypted, and dexec can't ask for its passphrase, like docker: decrypt it (`openssl \
             pkey -in KEY -out NEW`)",
            pem.name
        )));
    }
    PrivateKeyDer::from_pem_slice(&pem.bytes)
        .map_err(|_| refused(format!("{} contains no private key in PEM format", pem.name)))
}
