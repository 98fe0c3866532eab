//! Explains why a TLS connection failed, and what to do about it.

use std::error::Error as StdError;
use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as Rustls, InconsistentKeys, InvalidMessage};

use crate::endpoint::{Pem, Tls};
use crate::error::{Error, ErrorKind, Remedy, sanitize_line};

const OTHER_PORT: &str = "the port does not use TLS: use the engine's port for TLS (usually 2376), or disable TLS \
                          (unset DOCKER_TLS_VERIFY and DOCKER_TLS)";

/// The maximum length of a certificate's names in a message, in characters.
const MAX_NAMES_LEN: usize = 300;

pub(super) fn of_handshake(error: io::Error, tls: &Tls, host: &str) -> Error {
    let fault = match inner(&error) {
        Some(reason) => told(reason, tls, host),
        None => refused(format!(
            "it closed the connection during the TLS handshake ({error}): check that this is its port for TLS"
        )),
    };
    fault.with_source(error)
}

/// Returns the TLS error that explains a missing response. With TLS 1.3 a server rejects the client's certificate only
/// after the handshake, and some servers close the connection without an alert.
pub(in crate::transport) fn fault_of_answer(error: &hyper::Error, tls: &Tls, host: &str) -> Option<Error> {
    let io = error.source().and_then(<dyn StdError>::downcast_ref::<io::Error>);
    if let Some(reason) = io.and_then(inner) {
        return Some(told(reason, tls, host));
    }
    let is_cut = error.is_incomplete_message()
        || io.is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
            )
        });
    (is_cut && tls.identity.is_none()).then(|| {
        refused(
            "it closed the connection without a response: it may require a client certificate, and none is \
            configured",
        )
        .with_remedies([Remedy::NameClientCertificate])
    })
}

pub(super) fn of_identity(error: &Rustls, certificate: &Pem, key: &Pem) -> Error {
    refused(match error {
        Rustls::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            format!(
                "the key in {} does not match the certificate in {}",
                key.name, certificate.name
            )
        }
        Rustls::InvalidCertificate(reason) => {
            format!("the certificate in {} can't be used: {reason}", certificate.name)
        }
        _ => format!(
            "the key in {} can't be used: it must be RSA (2048 to 4096 bits), ECDSA (P-256, P-384 or P-521) or Ed25519",
            key.name
        ),
    })
}

fn told(error: &Rustls, tls: &Tls, host: &str) -> Error {
    refused(match error {
        Rustls::InvalidCertificate(reason) => return certificate_fault(reason, tls, host),
        Rustls::AlertReceived(alert) => return alert_fault(*alert, tls),
        // The response of a server without TLS to what it can't parse.
        Rustls::InvalidMessage(InvalidMessage::InvalidContentType) => OTHER_PORT.to_owned(),
        Rustls::PeerIncompatible(_) => {
            format!("it supports no TLS version and cipher that is secure enough; the minimum is TLS 1.2 ({error})")
        }
        _ => format!("TLS failed: {error}"),
    })
}

fn certificate_fault(reason: &CertificateError, tls: &Tls, host: &str) -> Error {
    refused(match reason {
        // A CA with the same name and another key causes a bad signature.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => match &tls.ca {
            Some(ca) => format!(
                "its certificate is not signed by the CA in {}: use the ca.pem that was made for this engine",
                ca.name
            ),
            None => {
                return refused("its certificate is not signed by a CA that this system trusts")
                    .with_remedies([Remedy::NameCa]);
            }
        },
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired: renew it, or correct this machine's clock".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet: correct the clocks of both machines".to_owned()
        }
        CertificateError::NotValidForName => {
            format!("its certificate is not for the name `{host}`: create one whose subjectAltName contains it")
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names = if presented.is_empty() {
                "has no names (subjectAltName)".to_owned()
            } else {
                format!("is for {}", sanitize_line(&plain(presented).join(", "), MAX_NAMES_LEN))
            };
            format!(
                "its certificate {names}, not for `{host}`: use a name that it has, or create one whose \
                 subjectAltName contains `{host}`"
            )
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not for servers: create one whose extendedKeyUsage contains serverAuth".to_owned()
        }
        // rustls has no variant for this error and passes on webpki's.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "it uses a CA's certificate as its server certificate, which is trusted only if ca.pem contains the same \
             certificate: copy it there"
                .to_owned()
        }
        _ => format!("its certificate can't be trusted: {reason}"),
    })
}

fn alert_fault(alert: AlertDescription, tls: &Tls) -> Error {
    refused(match (alert, &tls.identity) {
        (AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity, _) => {
            format!("it supports no TLS version and cipher that is secure enough; the minimum is TLS 1.2 ({alert:?})")
        }
        (AlertDescription::UnrecognisedName, _) => "it does not recognize this host name: use another name".to_owned(),
        (_, None) if is_about_clients(alert) => {
            return refused("it requires a client certificate, and none is configured")
                .with_remedies([Remedy::NameClientCertificate]);
        }
        (AlertDescription::CertificateExpired, Some((certificate, _))) => {
            format!("the client certificate in {} has expired: renew it", certificate.name)
        }
        (_, Some((certificate, _))) if is_about_clients(alert) => format!(
            "it refuses the client certificate in {} ({alert:?}): use one that is signed by the CA with which the \
             engine was started, that is valid now, and that is for clients (clientAuth)",
            certificate.name
        ),
        _ => format!("it refused the TLS connection ({alert:?})"),
    })
}

/// Returns whether a server sends this alert about a client certificate. `HandshakeFailure` means with TLS 1.2 that
/// the certificate is missing.
fn is_about_clients(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
            | AlertDescription::HandshakeFailure
    )
}

/// Returns the names as they are in a certificate: the library formats them as `DnsName("localhost")` and
/// `IpAddress(127.0.0.1)`.
fn plain(names: &[String]) -> Vec<&str> {
    let inner = |name: &'_ String| name.find('(').map(|start| start + 1);
    names
        .iter()
        .map(|name| {
            inner(name).map_or(name.as_str(), |start| {
                name[start..].trim_end_matches(')').trim_matches('"')
            })
        })
        .collect()
}

pub(super) fn refused(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::Tls, reason)
}

/// Returns the rustls error inside a connection's error.
pub(super) fn inner(error: &io::Error) -> Option<&Rustls> {
    error.get_ref()?.downcast_ref()
}
