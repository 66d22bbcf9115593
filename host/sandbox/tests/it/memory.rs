//! The memory limit of all instances together.

use jackfield_sandbox::{Sandbox, SandboxSettings};

use crate::stage::{load, policy};

const MEMORY_LIMIT: usize = 16 << 20;

#[tokio::test]
async fn instances_share_a_total() {
    let settings = SandboxSettings { instance_memory: Some(MEMORY_LIMIT), ..Default::default() };
    let sandbox = Sandbox::new(settings).unwrap();
    let memory = sandbox.memory();
    let plugin = load(&sandbox, "versioned", policy()).await;
    assert_eq!(memory.used(), 0, "the instance that described it is gone");
    let one = plugin.start(1, &[]).await.unwrap();
    let fit = MEMORY_LIMIT / memory.used();
    let rest = plugin.start(fit - 1, &[]).await.unwrap();
    let text = plugin.start(1, &[]).await.unwrap_err().to_string();
    let expected = "needs more memory than is left of what all plugins together may hold \
                    (plugins.instance_memory = 16 MiB)";
    assert!(text.contains(expected), "{text}");
    drop(one);
    let again = plugin.start(1, &[]).await.unwrap();
    assert!(memory.used() <= MEMORY_LIMIT);
    drop((rest, again));
    assert_eq!(memory.used(), 0);
}
