//! Nothing: the tests are in `it`, one binary that talks to the server over sockets.
