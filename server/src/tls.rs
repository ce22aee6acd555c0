//! The one choice of a TLS implementation for this process.

/// Makes ring the process's provider. Doing it again changes nothing.
pub fn install() {
    let _already_there = rustls::crypto::ring::default_provider().install_default();
}
