//! TLS for the server.

use std::sync::Arc;

use tokio_rustls::rustls::{
    self, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::options::ServeError;

/// The configuration for a chain of certificates and a key, both in PEM.
pub(super) fn config(certificates: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, ServeError> {
    let tls = |reason: String| ServeError::Tls { reason };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificates)
        .collect::<Result<_, _>>()
        .map_err(|error| tls(format!("the certificate is no PEM: {error}")))?;
    if chain.is_empty() {
        return Err(tls("there is no certificate in the PEM".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| tls(format!("the key is no PEM: {error}")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| tls(error.to_string()))?;
    Ok(Arc::new(config))
}
