//! Predefined URIs of errors and close reasons. WAMP v2 specification, sections "Predefined URIs"
//! of the basic and of the advanced profile.

/// A URI breaks the rules for its position.
pub const INVALID_URI: &str = "wamp.error.invalid_uri";
/// No callee has registered the called procedure.
pub const NO_SUCH_PROCEDURE: &str = "wamp.error.no_such_procedure";
/// The procedure is already registered.
pub const PROCEDURE_ALREADY_EXISTS: &str = "wamp.error.procedure_already_exists";
/// The session has no such registration.
pub const NO_SUCH_REGISTRATION: &str = "wamp.error.no_such_registration";
/// The session has no such subscription.
pub const NO_SUCH_SUBSCRIPTION: &str = "wamp.error.no_such_subscription";
/// Arguments or options that the receiver cannot use.
pub const INVALID_ARGUMENT: &str = "wamp.error.invalid_argument";
/// A call was cancelled. The specification spells it with one `l`.
pub const CANCELED: &str = "wamp.error.canceled";
/// A payload is larger than the receiver's limit.
pub const PAYLOAD_SIZE_EXCEEDED: &str = "wamp.error.payload_size_exceeded";
/// A peer broke the protocol.
pub const PROTOCOL_VIOLATION: &str = "wamp.error.protocol_violation";
/// The session is not allowed to do what it requested.
pub const NOT_AUTHORIZED: &str = "wamp.error.not_authorized";
/// The authorization itself failed.
pub const AUTHORIZATION_FAILED: &str = "wamp.error.authorization_failed";
/// The realm does not exist.
pub const NO_SUCH_REALM: &str = "wamp.error.no_such_realm";
/// The role does not exist.
pub const NO_SUCH_ROLE: &str = "wamp.error.no_such_role";
/// No authentication method is common to client and router.
pub const NO_MATCHING_AUTH_METHOD: &str = "wamp.error.no_matching_auth_method";
/// The authid is unknown.
pub const NO_SUCH_PRINCIPAL: &str = "wamp.error.no_such_principal";
/// The credential is wrong.
pub const AUTHENTICATION_DENIED: &str = "wamp.error.authentication_denied";
/// The authentication itself failed.
pub const AUTHENTICATION_FAILED: &str = "wamp.error.authentication_failed";
/// The realm requires authentication.
pub const AUTHENTICATION_REQUIRED: &str = "wamp.error.authentication_required";
/// The authorizer denied the request.
pub const AUTHORIZATION_DENIED: &str = "wamp.error.authorization_denied";
/// Authorization is needed and was not given.
pub const AUTHORIZATION_REQUIRED: &str = "wamp.error.authorization_required";
/// A call took too long.
pub const TIMEOUT: &str = "wamp.error.timeout";
/// The router does not allow the option.
pub const OPTION_NOT_ALLOWED: &str = "wamp.error.option_not_allowed";
/// The router does not allow disclosure of the caller or publisher.
pub const OPTION_DISALLOWED_DISCLOSE_ME: &str = "wamp.error.option_disallowed.disclose_me";
/// The network between the router's nodes failed.
pub const NETWORK_FAILURE: &str = "wamp.error.network_failure";
/// A callee asks for the call to be routed elsewhere.
pub const UNAVAILABLE: &str = "wamp.error.unavailable";
/// Every callee was unavailable.
pub const NO_AVAILABLE_CALLEE: &str = "wamp.error.no_available_callee";
/// Every callee handles as many calls as it registered for; not in the specification.
pub const MAX_CONCURRENCY_REACHED: &str = "wamp.error.max_concurrency_reached";
/// A peer lacks the feature.
pub const FEATURE_NOT_SUPPORTED: &str = "wamp.error.feature_not_supported";
/// No session has that id.
pub const NO_SUCH_SESSION: &str = "wamp.error.no_such_session";
/// The topic has no history; not in the specification: an error of Crossbar.
pub const HISTORY_UNAVAILABLE: &str = "wamp.error.history_unavailable";
/// In common use for a failure inside a procedure; not in the specification.
pub const RUNTIME_ERROR: &str = "wamp.error.runtime_error";

/// The router is shutting down.
pub const CLOSE_SYSTEM_SHUTDOWN: &str = "wamp.close.system_shutdown";
/// The session leaves the realm.
pub const CLOSE_REALM: &str = "wamp.close.close_realm";
/// The answer to GOODBYE.
pub const CLOSE_GOODBYE_AND_OUT: &str = "wamp.close.goodbye_and_out";
/// The session was killed by another session.
pub const CLOSE_KILLED: &str = "wamp.close.killed";
/// A registration has ended because another session has registered the procedure with
/// `force_reregister`.
pub const REGISTRATION_REPLACED: &str = "jackfield.close.registration_replaced";
/// The reason that most clients give; not in the specification.
pub const CLOSE_NORMAL: &str = "wamp.close.normal";
