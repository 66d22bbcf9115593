//! Tests of authentication by ticket, with users of a file.

use std::net::Ipv4Addr;
use std::time::Duration;

use zeroize::Zeroizing;

use super::*;
use crate::ticket::Holder;
use crate::users::FileUsers;

/// Address of the tests' clients.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const NOW: u64 = 1_700_000_000;
const USERS: &str = r"
users:
    admin: { id: 1, password: 'hash-of-admin', roles: [ROLE_ADMINISTRATOR], organization: 7 }
    former: { id: 2, password: 'hash-of-former', enabled: false }
    outside: { id: 3 }
";

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn secret() -> AppSecret {
    AppSecret::new(Zeroizing::new("kernel-secret".to_owned())).unwrap()
}

fn rules() -> TicketRules {
    TicketRules {
        secret: secret(),
        validity: Validity::default(),
        replays: None,
        anonymous: Some(vec!["backend".to_owned()]),
        verifiers: Verifiers::new(NonZeroUsize::MIN, 8),
    }
}

fn users() -> Users {
    Users::File(FileUsers::parse("users.yml", USERS).unwrap())
}

fn of(username: &str, password: &str) -> String {
    let password = PasswordHash::new(password.to_owned()).unwrap();
    let holder = Holder::User { username, password: &password };
    Ticket::mint(&secret(), holder, "0123456789abcdef", at(NOW)).unwrap()
}

fn anonymous() -> String {
    Ticket::mint(&secret(), Holder::Anonymous, "0123456789abcdef", at(NOW)).unwrap()
}

#[tokio::test]
async fn a_valid_ticket_identifies_its_user() {
    let tickets = Tickets::new(rules());
    let admin = tickets.authenticate(&of("admin", "hash-of-admin"), HERE, at(NOW), &users()).await;
    let admin = admin.unwrap();
    assert_eq!(admin.id.as_deref(), Some("1"));
    assert_eq!(admin.username, "admin");
    assert_eq!(admin.roles, ["ROLE_ADMINISTRATOR"]);
    assert_eq!(admin.organization.as_deref(), Some("7"));
    assert_eq!(admin.method.as_str(), "ticket");
    assert!(!admin.is_anonymous());

    let backend = tickets.authenticate(&anonymous(), HERE, at(NOW + 300), &users()).await.unwrap();
    assert!(backend.is_anonymous());
    assert_eq!(backend.roles, ["backend"]);
    // Without `once` a ticket can be reused, as in the application itself.
    assert!(tickets.authenticate(&anonymous(), HERE, at(NOW + 300), &users()).await.is_ok());
}

#[tokio::test]
async fn every_refusal_states_its_reason() {
    let tickets = Tickets::new(rules());
    let users = users();
    let refusal = async |ticket: String, now: u64| {
        let refusal = tickets.authenticate(&ticket, HERE, at(now), &users).await.unwrap_err();
        assert!(!refusal.is_temporary());
        refusal.to_string()
    };
    let check = |refusal: String, expect: &str| {
        assert!(refusal.contains(expect), "{refusal}");
        assert!(!refusal.contains("hash-of") && !refusal.contains("kernel"), "{refusal}");
    };
    check(refusal("?".to_owned(), NOW).await, "fewer than four parts");
    check(
        refusal(of("admin", "hash-of-former"), NOW).await,
        r#"of "admin" is refused: its digest"#,
    );
    check(refusal(of("admin", "hash-of-admin"), NOW + 301).await, "it is 301 s old");
    check(refusal(of("nobody", "hash-of-admin"), NOW).await, "there is no such user");
    check(refusal(of("former", "hash-of-former"), NOW).await, "the user is disabled");
    check(refusal(of("former", "hash-of-admin"), NOW).await, "its digest is wrong");
    check(refusal(of("outside", "hash-of-admin"), NOW).await, "has no password");
    check(refusal(of("a\nb", "x"), NOW).await, r#"of "a\nb" is refused: there is no such user"#);
    let long = refusal(of(&"n".repeat(300), "x"), NOW).await;
    assert!(long.len() < 150, "{long}");
}

#[tokio::test]
async fn anonymous_tickets_can_be_refused() {
    let tickets = Tickets::new(TicketRules { anonymous: None, ..rules() });
    let refusal = tickets.authenticate(&anonymous(), HERE, at(NOW), &users()).await;
    assert_eq!(refusal, Err(TicketRefusal::Anonymous));
}

#[tokio::test]
async fn tickets_can_be_limited_to_one_use() {
    let one = NonZeroUsize::new(1);
    let tickets = Tickets::new(TicketRules { replays: one, ..rules() });
    let users = users();
    let ticket = of("admin", "hash-of-admin");
    // A ticket that fails is not recorded.
    let wrong = of("admin", "hash-of-former");
    assert!(tickets.authenticate(&wrong, HERE, at(NOW), &users).await.is_err());
    assert!(tickets.authenticate(&ticket, HERE, at(NOW), &users).await.is_ok());
    let again = tickets.authenticate(&ticket, HERE, at(NOW + 300), &users).await.unwrap_err();
    assert!(again.to_string().contains("used before"), "{again}");
    // Another encoding of the same ticket is the same ticket.
    let unpadded =
        tickets.authenticate(&format!(" {ticket}"), HERE, at(NOW), &users).await.unwrap_err();
    assert!(unpadded.to_string().contains("used before"), "{unpadded}");
    let full = tickets.authenticate(&anonymous(), HERE, at(NOW), &users).await.unwrap_err();
    assert!(full.is_temporary(), "{full}");
}

#[tokio::test]
async fn a_full_queue_refuses_temporarily() {
    let verifiers = Verifiers::new(NonZeroUsize::MIN, 0);
    let tickets = Tickets::new(TicketRules { verifiers: verifiers.clone(), ..rules() });
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (started, start) = tokio::sync::oneshot::channel();
    let busy = tokio::spawn(async move {
        let work = move || {
            started.send(()).unwrap();
            released.recv().unwrap();
        };
        verifiers.run(HERE, work).await
    });
    start.await.unwrap();
    for ticket in [of("admin", "hash-of-admin"), of("nobody", "x"), anonymous()] {
        let refusal = tickets.authenticate(&ticket, HERE, at(NOW), &users()).await.unwrap_err();
        assert!(refusal.is_temporary(), "{refusal}");
    }
    release.send(()).unwrap();
    busy.await.unwrap().unwrap();
}
