//! Trusts the HTTPS servers that the system's certificate store vouches for.
//!
//! The store is read at the first TLS handshake, so that plain HTTP starts without it.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// Returns the TLS configuration of a client.
///
/// # Errors
/// The cryptography provider supports no version of TLS.
pub fn tls() -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let store = Arc::new(SystemStore { provider: Arc::clone(&provider), opened: OnceLock::new() });
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(store)
        .with_no_client_auth())
}

/// The system's certificate store, opened when it is first needed.
#[derive(Debug)]
struct SystemStore {
    provider: Arc<CryptoProvider>,
    opened: OnceLock<Result<Verifier, Error>>,
}

impl SystemStore {
    fn opened(&self) -> Result<&Verifier, Error> {
        let open = || {
            Verifier::new(Arc::clone(&self.provider)).map_err(|error| {
                let reason = match error {
                    Error::General(reason) => reason,
                    other => other.to_string(),
                };
                let remedy = "install the package ca-certificates or set SSL_CERT_FILE";
                Error::General(format!("{reason}; {remedy}"))
            })
        };
        self.opened.get_or_init(open).as_ref().map_err(Clone::clone)
    }
}

impl ServerCertVerifier for SystemStore {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.opened()?.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
