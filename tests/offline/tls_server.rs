//! TLS servers on this machine, and certificates for them and their clients.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, SanType, SignatureAlgorithm,
};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use crate::dexec;
use crate::fake::{Fake, Script};
use test_support::Run;

pub const TLS_1_2: &[&SupportedProtocolVersion] = &[&version::TLS12];
pub const TLS_1_3: &[&SupportedProtocolVersion] = &[&version::TLS13];

type TlsStream = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;

/// A certificate and its key.
pub struct Identity {
    pub key: KeyPair,
    params: CertificateParams,
    certificate: Certificate,
}

impl Identity {
    /// Creates a self-signed CA certificate, with these server names.
    pub fn authority(name: &str, names: &[&str]) -> Self {
        Self::authority_for(new_key(&PKCS_ECDSA_P256_SHA256), name, names)
    }

    pub fn authority_for(key: KeyPair, name: &str, names: &[&str]) -> Self {
        Self::self_signed_for(key, name, names, |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        })
    }

    pub fn self_signed(name: &str, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        Self::self_signed_for(new_key(&PKCS_ECDSA_P256_SHA256), name, names, change)
    }

    fn self_signed_for(key: KeyPair, name: &str, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = params(name, names);
        change(&mut params);
        let certificate = params.self_signed(&key).expect("it can be signed");
        Self {
            key,
            params,
            certificate,
        }
    }

    /// Issues a certificate for `localhost`, signed by this one.
    pub fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        self.issue_for(new_key(&PKCS_ECDSA_P256_SHA256), change)
    }

    pub fn issue_for(&self, key: KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = params("leaf", &["localhost"]);
        change(&mut params);
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).expect("it can be signed");
        Self {
            key,
            params,
            certificate,
        }
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).expect("it is a certificate");
        Arc::new(roots)
    }
}

pub fn new_key(algorithm: &'static SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(algorithm).expect("a key can be made")
}

fn params(name: &str, names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = names
        .iter()
        .map(|name| match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*name).try_into().expect("it is a name")),
        })
        .collect();
    params
}

/// Restricts a certificate to this purpose.
pub fn only_for(purpose: ExtendedKeyUsagePurpose) -> impl FnOnce(&mut CertificateParams) {
    |params| params.extended_key_usages = vec![purpose]
}

/// Makes a certificate expired.
pub fn expired(params: &mut CertificateParams) {
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
}

/// A scripted engine behind a TLS server.
pub struct Server {
    pub engine: Fake,
    pub port: u16,
}

impl Server {
    /// Starts a server that requests no client certificate.
    pub fn start(identity: &Identity) -> Self {
        Self::start_with(identity, None, &[&version::TLS12, &version::TLS13])
    }

    /// Starts a server whose engine follows this script, and that closes connections without sending TLS's
    /// `close_notify`.
    pub fn start_unsealed(identity: &Identity, script: Script) -> Self {
        Self::start_over(
            identity,
            None,
            &[&version::TLS12, &version::TLS13],
            script,
            relay_unsealed,
        )
    }

    /// Starts a server that requires a client certificate signed by `clients`.
    pub fn start_with(
        identity: &Identity,
        clients: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        Self::start_over(identity, clients, versions, Script::default(), relay)
    }

    fn start_over<F: Future<Output = ()> + 'static>(
        identity: &Identity,
        clients: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
        script: Script,
        relay: fn(TcpStream, TlsAcceptor, String) -> F,
    ) -> Self {
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .expect("there are such versions");
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(clients) => config.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(clients.roots(), provider)
                    .build()
                    .expect("it has a root"),
            ),
        };
        let key = PrivateKeyDer::try_from(identity.key.serialize_der()).expect("it is a key");
        let config = config
            .with_single_cert(vec![identity.certificate.der().clone()], key)
            .expect("the key fits");

        let engine = Fake::start(script);
        let path = engine.host.strip_prefix("unix://").expect("it is a socket").to_owned();
        let listener = TcpListener::bind("localhost:0").expect("it can be listened to");
        let port = listener.local_addr().expect("it has an address").port();
        thread::spawn(move || serve(&listener, &Arc::new(config).into(), &path, relay));
        Self { engine, port }
    }

    /// The server's address, for a dexec without TLS options.
    pub fn host(&self) -> String {
        format!("tcp://localhost:{}", self.port)
    }

    /// `dexec` with docker's TLS variables.
    pub fn run(&self, variable: &str, files: &TempDir) -> Run {
        self.run_as("localhost", variable, files)
    }

    /// The same, with another host name for the server.
    pub fn run_as(&self, host: &str, variable: &str, files: &TempDir) -> Run {
        dexec(["-H", &format!("tcp://{host}:{}", self.port), "web", "true"])
            .env(variable, "1")
            .env("DOCKER_CERT_PATH", files.path())
    }
}

fn serve<F: Future<Output = ()> + 'static>(
    listener: &TcpListener,
    acceptor: &TlsAcceptor,
    path: &str,
    relay: fn(TcpStream, TlsAcceptor, String) -> F,
) {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be made")
    };
    for client in listener.incoming() {
        let (client, acceptor, path) = (client.expect("it can be accepted"), acceptor.clone(), path.to_owned());
        thread::spawn(move || runtime().block_on(relay(client, acceptor, path)));
    }
}

/// Connects both ends. Returns `None` if the handshake fails or the client disconnects, which is not an error here.
async fn ends(client: TcpStream, acceptor: TlsAcceptor, path: String) -> Option<(TlsStream, UnixStream)> {
    client.set_nonblocking(true).expect("it can be set");
    let client = tokio::net::TcpStream::from_std(client).expect("it can be waited for");
    let client = acceptor.accept(client).await.ok()?;
    Some((client, UnixStream::connect(path).await.expect("the engine answers")))
}

async fn relay(client: TcpStream, acceptor: TlsAcceptor, path: String) {
    if let Some((mut client, mut engine)) = ends(client, acceptor, path).await {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut engine).await;
    }
}

async fn relay_unsealed(client: TcpStream, acceptor: TlsAcceptor, path: String) {
    let Some((client, engine)) = ends(client, acceptor, path).await else {
        return;
    };
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_engine, mut to_engine) = engine.into_split();
    tokio::select! {
        _ = tokio::io::copy(&mut from_engine, &mut to_client) => {}
        () = async {
            let _ = tokio::io::copy(&mut from_client, &mut to_engine).await;
            std::future::pending::<()>().await;
        } => {}
    }
    let _ = to_client.flush().await;
}

/// A certificate directory for `DOCKER_CERT_PATH`.
pub fn files(ca: &Identity, client: Option<&Identity>) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let write = |name: &str, text: String| fs::write(directory.path().join(name), text).expect("it can be written");
    write("ca.pem", ca.pem());
    if let Some(client) = client {
        write("cert.pem", client.pem());
        write("key.pem", client.key.serialize_pem());
    }
    directory
}
