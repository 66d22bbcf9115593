//! Protocol version and codec of a connection, negotiated as the WebSocket subprotocol.

/// Serializer of version 2. WAMP v2 specification, section "Serializers".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// JSON, in text frames.
    Json,
    /// MessagePack, in binary frames.
    MessagePack,
    /// CBOR, in binary frames.
    Cbor,
}

/// Protocol version and codec of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// WAMP v1, JSON: AutobahnJS up to 0.8, Ratchet, Gos, Oro.
    V1,
    /// WAMP v2.
    V2(Codec),
}

impl Dialect {
    /// The number of dialects; [`Dialect::index`] is below it.
    pub const COUNT: usize = 4;

    /// All dialects, in the order of their index.
    pub const ALL: [Self; Self::COUNT] =
        [Self::V1, Self::V2(Codec::Json), Self::V2(Codec::MessagePack), Self::V2(Codec::Cbor)];

    /// Returns the dialect that a `Sec-WebSocket-Protocol` token names.
    pub fn from_subprotocol(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.subprotocol() == token)
    }

    /// Returns the subprotocol's name in the handshake.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::V1 => "wamp",
            Self::V2(Codec::Json) => "wamp.2.json",
            Self::V2(Codec::MessagePack) => "wamp.2.msgpack",
            Self::V2(Codec::Cbor) => "wamp.2.cbor",
        }
    }

    /// Returns the codec of payloads.
    pub const fn codec(self) -> Codec {
        match self {
            Self::V1 => Codec::Json,
            Self::V2(codec) => codec,
        }
    }

    /// Returns whether messages travel in binary rather than text frames.
    pub const fn is_binary(self) -> bool {
        !matches!(self.codec(), Codec::Json)
    }

    /// Index for arrays with one element per dialect.
    pub const fn index(self) -> usize {
        match self {
            Self::V1 => 0,
            Self::V2(Codec::Json) => 1,
            Self::V2(Codec::MessagePack) => 2,
            Self::V2(Codec::Cbor) => 3,
        }
    }
}
