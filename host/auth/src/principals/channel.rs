//! Channel binding: the signature of a client counts on its own TLS connection alone, so that a proxy that
//! terminates TLS cannot pass it on. WAMP v2 specification, section "TLS Channel Binding"; RFC 9266.

/// The only supported type of channel binding. `tls-unique` is not defined for TLS 1.3.
pub(super) const TLS_EXPORTER: &str = "tls-exporter";

/// The label of the 32 bytes of keying material that are the channel id. The context is empty. RFC 9266,
/// section 2.
pub const TLS_EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// The reason why a connection has no channel id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoChannelId {
    /// The connection is not encrypted, or not by this server.
    #[error("this server does not encrypt the connection; behind a proxy, the proxy does")]
    NoTls,
    /// Before TLS 1.3, keying material is unique only under conditions.
    #[error("it needs TLS 1.3, and the connection has an older version")]
    OldTls,
    /// The TLS session exports nothing.
    #[error("the TLS session exports no keying material")]
    NoMaterial,
}
