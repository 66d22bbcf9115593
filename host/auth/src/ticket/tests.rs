//! Tests of tickets: the application's are accepted, forged ones are not.

use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;

const NONCE: &str = "0123456789abcdef";
/// 2024-01-02T03:04:05Z.
const CREATED: u64 = 1_704_164_645;
const ANONYMOUS: &str = "SWRwUG85UVF0dGhTcFM0aFMrc3FCT1ArQWcxMDk4c01JOWsrc2pNZTFzcEhiZ2pYVGJ2YllYM08ycHAvK0RaTUpyb0hSdnJPTGtrbUpPZWJzVDRhcXc9PTs7MDEyMzQ1Njc4OWFiY2RlZjsyMDI0LTAxLTAyVDAzOjA0OjA1KzAwOjAw";
const ADMIN: &str = "NVZ0cWxkLzFBbzdHdVlYOWEydkx4Qlc3bk54R3FnZzBjSjNIQkpmNGJSV0Fnd1BPWVJtTXBXRHNhaGlwM2xIaDV3ck1xb2I1c1ZVcGtkRjMzUXJVMFE9PTthZG1pbjswMTIzNDU2Nzg5YWJjZGVmOzIwMjQtMDEtMDJUMDM6MDQ6MDUrMDA6MDA=";

fn secret() -> AppSecret {
    AppSecret::new(Zeroizing::new("kernel-secret".to_owned())).unwrap()
}

fn password() -> PasswordHash {
    PasswordHash::new("$2y$13$abcdefghijklmnopqrstuv".to_owned()).unwrap()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn reading(plain: &str) -> Result<Ticket, TicketError> {
    Ticket::parse(&BASE64_STANDARD.encode(plain))
}

#[test]
fn accepts_the_applications_own_tickets() {
    let ticket = Ticket::parse(ANONYMOUS).unwrap();
    assert_eq!(ticket.username(), None);
    assert_eq!(
        ticket.digest,
        "IdpPo9QQtthSpS4hS+sqBOP+Ag1098sMI9k+sjMe1spHbgjXTbvbYX3O2pp/+DZMJroHRvrOLkkmJOebsT4aqw=="
    );
    assert_eq!(ticket.verify(&secret(), None), Ok(()));

    let ticket = Ticket::parse(ADMIN).unwrap();
    assert_eq!(ticket.username(), Some("admin"));
    assert_eq!(
        ticket.digest,
        "5Vtqld/1Ao7GuYX9a2vLxBW7nNxGqgg0cJ3HBJf4bRWAgwPOYRmMpWDsahip3lHh5wrMqob5sVUpkdF33QrU0Q=="
    );
    assert_eq!(ticket.verify(&secret(), Some(&password())), Ok(()));
}

#[test]
fn mints_the_same_tickets_as_the_application() {
    let anonymous = Ticket::mint(&secret(), Holder::Anonymous, NONCE, at(CREATED));
    assert_eq!(anonymous.as_deref(), Ok(ANONYMOUS));
    let holder = Holder::User { username: "admin", password: &password() };
    assert_eq!(Ticket::mint(&secret(), holder, NONCE, at(CREATED)).as_deref(), Ok(ADMIN));
    let odd = Holder::User { username: "a;b", password: &password() };
    assert_eq!(Ticket::mint(&secret(), odd, NONCE, at(CREATED)), Err(TicketError::Unwritable));
    let long = "n".repeat(4_096);
    let too_long = Ticket::mint(&secret(), Holder::Anonymous, &long, at(CREATED));
    assert_eq!(too_long, Err(TicketError::TooLong));
}

#[test]
fn rejects_another_secret_or_password() {
    let ticket = Ticket::parse(ADMIN).unwrap();
    let other = PasswordHash::new("$2y$13$vutsrqponmlkjihgfedcba".to_owned()).unwrap();
    assert_eq!(ticket.verify(&secret(), Some(&other)), Err(TicketError::WrongDigest));
    assert_eq!(ticket.verify(&secret(), None), Err(TicketError::NoPassword));
    let other = AppSecret::new(Zeroizing::new("another".to_owned())).unwrap();
    assert_eq!(ticket.verify(&other, Some(&password())), Err(TicketError::WrongDigest));
    let anonymous = Ticket::parse(ANONYMOUS).unwrap();
    assert_eq!(anonymous.verify(&other, None), Err(TicketError::WrongDigest));
}

#[test]
fn verification_costs_the_same_for_unknown_users() {
    let bcrypt = "$2y$13$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyz01234";
    assert_eq!((bcrypt.len(), DECOY.len()), (60, 60));
    let ticket = Ticket::parse(ADMIN).unwrap();
    let cost = |password: Option<&str>, expect: TicketError| {
        let password = password.and_then(|text| PasswordHash::new(text.to_owned()));
        assert_eq!(ticket.verify(&secret(), password.as_ref()), Err(expect));
        digest::tests::MADE.take()
    };
    let known = cost(Some(bcrypt), TicketError::WrongDigest);
    assert_eq!(known.len(), 1);
    assert_eq!(cost(None, TicketError::NoPassword), known);
}

#[test]
fn the_decoy_hash_accepts_no_ticket() {
    let decoy = PasswordHash::new(DECOY.to_owned()).unwrap();
    let holder = Holder::User { username: "admin", password: &decoy };
    let ticket = Ticket::mint(&secret(), holder, NONCE, at(CREATED)).unwrap();
    let ticket = Ticket::parse(&ticket).unwrap();
    assert_eq!(ticket.verify(&secret(), None), Err(TicketError::NoPassword));
    assert_eq!(ticket.verify(&secret(), Some(&password())), Err(TicketError::WrongDigest));
}

#[test]
fn rejects_a_ticket_with_a_replaced_part() {
    let plain = String::from_utf8(BASE64_STANDARD.decode(ADMIN).unwrap()).unwrap();
    for (from, to) in [
        (";0123456789abcdef;", ";0123456789abcdee;"),
        ("03:04:05", "03:09:05"),
        ("5Vtqld", "5Vtqle"),
        ("0Q==", "0Q="),
        (";admin;", ";;"),
    ] {
        let changed = plain.replace(from, to);
        assert_ne!(changed, plain);
        let ticket = reading(&changed).unwrap();
        let verdict = ticket.verify(&secret(), Some(&password()));
        assert_eq!(verdict, Err(TicketError::WrongDigest), "{from} → {to}");
    }
}

#[test]
fn accepts_a_ticket_within_its_validity() {
    let ticket = Ticket::parse(ADMIN).unwrap();
    let check = |now: u64, expect: Result<(), TicketError>| {
        assert_eq!(ticket.check_time(at(now), Validity::default()), expect, "{now}");
    };
    check(CREATED, Ok(()));
    check(CREATED + 300, Ok(()));
    check(CREATED + 301, Err(TicketError::Expired { age: 301, ttl: 300 }));
    check(CREATED - 30, Ok(()));
    check(CREATED - 31, Err(TicketError::FromTheFuture { ahead: 31, skew: 30 }));
    check(0, Err(TicketError::FromTheFuture { ahead: CREATED, skew: 30 }));
    let brief = Validity { ttl: Duration::from_secs(1), skew: Duration::ZERO };
    let age = ticket.check_time(at(CREATED + 2), brief);
    assert_eq!(age, Err(TicketError::Expired { age: 2, ttl: 1 }));
    let ahead = ticket.check_time(at(CREATED - 1), brief);
    assert_eq!(ahead, Err(TicketError::FromTheFuture { ahead: 1, skew: 0 }));
}

#[test]
fn respects_time_zone_offsets() {
    for created in
        ["2024-01-02T05:04:05+02:00", "2024-01-01T22:04:05-05:00", "2024-01-02T03:04:05Z"]
    {
        let ticket = reading(&format!("d;u;n;{created}")).unwrap();
        assert_eq!(ticket.check_time(at(CREATED + 300), Validity::default()), Ok(()), "{created}");
        assert!(ticket.check_time(at(CREATED + 301), Validity::default()).is_err(), "{created}");
    }
}

#[test]
fn rejects_malformed_tickets() {
    let check = |text: &str| {
        let refused = matches!(Ticket::parse(text), Err(TicketError::Malformed(_)));
        assert!(refused, "{text}");
    };
    check("");
    check("%%%%");
    check("A");
    check(&BASE64_STANDARD.encode("d;u;n"));
    check(&BASE64_STANDARD.encode("d;u;n;"));
    check(&BASE64_STANDARD.encode("d;u;n;now"));
    check(&BASE64_STANDARD.encode("d;u;n;2024-01-02 03:04"));
    check(&BASE64_STANDARD.encode("d;u;n;2024-13-02T03:04:05+00:00"));
    check(&BASE64_STANDARD.encode([b'd', b';', 0xff, b';', b'n', b';']));
    check(&"A".repeat(MAX_BYTES + 1));
}

#[test]
fn reads_base64_as_leniently_as_the_application() {
    for text in [
        ADMIN.trim_end_matches('=').to_owned(),
        format!("{}\n{}", &ADMIN[..76], &ADMIN[76..]),
        format!(" {ADMIN} "),
    ] {
        assert_eq!(Ticket::parse(&text).unwrap().verify(&secret(), Some(&password())), Ok(()));
    }
    // Further parts are ignored.
    let more = reading("d;u;n;2024-01-02T03:04:05+00:00;x;y").unwrap();
    assert_eq!(more.username(), Some("u"));
}

#[test]
fn rejects_empty_secrets_and_secrets_with_braces() {
    let secret = |text: &str| AppSecret::new(Zeroizing::new(text.to_owned()));
    assert_eq!(secret("").err(), Some(AppSecretError::Empty));
    assert_eq!(secret("a{b").err(), Some(AppSecretError::Brace));
    assert_eq!(secret("a}b").err(), Some(AppSecretError::Brace));
    assert!(!format!("{:?}", secret("hunter2")).contains("hunter2"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn verifies_minted_tickets(
        username in "[^;]{1,40}",
        hash in ".{1,60}",
        nonce in "[0-9a-f]{16}",
        created in 0u64..4_000_000_000,
    ) {
        let password = PasswordHash::new(hash).unwrap();
        let holder = Holder::User { username: &username, password: &password };
        let text = Ticket::mint(&secret(), holder, &nonce, at(created)).unwrap();
        let ticket = Ticket::parse(&text).unwrap();
        prop_assert_eq!(ticket.username(), Some(username.as_str()));
        prop_assert_eq!(ticket.check_time(at(created), Validity::default()), Ok(()));
        prop_assert_eq!(ticket.verify(&secret(), Some(&password)), Ok(()));
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>(), bytes in any::<Vec<u8>>()) {
        let _ = Ticket::parse(&text);
        let _ = Ticket::parse(&BASE64_STANDARD.encode(bytes));
    }
}
