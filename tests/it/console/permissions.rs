//! Roles of routes: those of the route, and those of the configuration for actions that it does not list.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn shows_the_roles_of_the_configuration() {
    let fixture = served("allow: { publish: [backend], register: [] }\n");
    let mut console = Console::open(fixture.address).await;
    console.go("routes?topic=open/kitchen").await;
    console.shows("publish: backend (configuration)").await;
    console.shows("register: none (configuration)").await;
    let open =
        "[...document.querySelectorAll('main td')].some((it) => it.innerText === 'all roles')";
    assert_eq!(console.value(open).await, false);
    console.go("topics/open%2Fkitchen").await;
    console.shows("publish: backend (configuration)").await;
    console.go("publish?topic=open/kitchen").await;
    console.shows("Roles that may publish: backend.").await;
    console.click("main .primary").await;
    console.shows("the configuration (“allow”) does not allow your roles to publish").await;
    console.fill("[name=roles]", "backend").await;
    console.click("main .primary").await;
    console.shows("Delivered to 0 subscribers").await;
    console.is_quiet().await;
}
