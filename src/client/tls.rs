//! TLS for the client.

use std::sync::Arc;

use tokio_rustls::rustls::{
    self, ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::address::Address;
use crate::error::{Error, Result};

fn unusable(address: &Address, reason: String) -> Error {
    Error::NotAStore { path: address.to_string().into(), reason }
}

/// Trusts what is in this PEM.
pub(super) fn trusting(pem: &[u8], address: &Address) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let added = certificate.map_err(|error| error.to_string());
        let added = added.and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|reason| unusable(address, format!("the trusted certificates cannot be used: {reason}")))?;
    }
    if roots.is_empty() {
        return Err(unusable(address, "there is no certificate in the PEM to trust".into()));
    }
    config(roots, address)
}

/// Trusts what the system trusts.
pub(super) fn of_the_system(address: &Address) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(unusable(address, "the system trusts no certificates; say which to trust".into()));
    }
    config(roots, address)
}

fn config(roots: RootCertStore, address: &Address) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(address, error.to_string()))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}
