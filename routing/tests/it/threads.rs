//! A table is shared by every connection.

use jackfield_routing::{Diagnosis, Route, RouteTable};

#[test]
fn tables_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<RouteTable>();
    shared::<Route>();
    shared::<Diagnosis>();
}
