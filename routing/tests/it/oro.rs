//! The routes that OroPlatform ships, and the samples of the documentation of its substrate.

use crate::{found, table};

const ORO: &str = r"
oro_email.event:
    channel: 'oro/email_event/{user_id}/{organization_id}'
    handler:
        callback: 'oro_email.event'
    requirements:
        user_id: { pattern: '\d+' }
        organization_id: { pattern: '\d+', wildcard: true }
oro_entity_config.attribute_import:
    channel: 'oro/attribute_import/{user_id}/{config_model_id}'
    handler:
        callback: 'oro_entity_config.attribute_import'
    requirements:
        user_id:
            pattern: '\d+'
        config_model_id:
            pattern: '\d+'
oro_imap.sync_fail:
    channel: 'oro/imap_sync_fail/{user_id}'
    handler: { callback: 'oro_imap.sync_fail' }
    requirements:
        user_id: { pattern: '\d+', wildcard: true }
oro_message_queue.message_queue_heartbeat:
    channel: 'oro/message_queue_heartbeat'
    handler: { callback: 'oro_message_queue.message_queue_heartbeat' }
oro_reminder.remind:
    channel: 'oro/reminder_remind/{user_id}'
    handler: { callback: 'oro_reminder.remind' }
    requirements:
        user_id: { pattern: '\d+' }
oro_sync.ping:
    channel: 'oro/ping'
    handler: { callback: 'oro_sync.ping' }
oro_sync.data_update:
    channel: 'oro/data/update'
    handler: { callback: 'oro_sync.data_update' }
oro_sync.maintenance:
    channel: 'oro/maintenance'
    handler: { callback: 'oro_sync.maintenance' }
oro_user.outdated_user_page:
    channel: 'oro/outdated_user_page'
    handler: { callback: 'oro_user.outdated_user_page' }
conversation_event.event:
    channel: 'oro/conversation_event/{user_id}/{organization_id}'
    handler: { callback: 'oro_conversation.event' }
    requirements:
        user_id: { pattern: '\d+' }
        organization_id: { pattern: '\d+', wildcard: true }
";

const SAMPLES: &str = r"
acme_map:
    channel: acme/channel
    handler: { callback: acme.topic }
acme_rpc:
    channel: sample/{method}
    handler: acme.rpc
    requirements: { method: '[a-z_]+' }
acme_chat:
    pattern: acme/chat/{room}/{user_id}
    callback: acme.chat
    requirements:
        room: '[a-z]+'
        user_id: '\d+'
notification_user:
    channel: notification/user/{role}/{application}/{user}
    handler: { callback: notification }
    requirements:
        role: { pattern: 'editor|admin|client' }
        application: { pattern: '[a-z]+' }
        user: { pattern: '\d+', wildcard: true }
redis:
    channel: notification:user:{role}:{application}:{user_ref}
    handler: { callback: redis }
defaults:
    channel: chat/{user}
    handler: chat
    defaults: { user: 42 }
    options: { foo: bar }
username:
    channel: notification/user/{username}
    handler: { callback: gos_websocket, args: { username: '@app' } }
    requirements: { username: { pattern: '[a-zA-Z0-9]+', wildcard: true } }
rpc: { pattern: 'notification/{method}', callback: rpc }
issue_40a: { channel: 'notification/events/{event}', handler: e }
issue_17: { channel: 'chat/{room}/{token}/{user}', handler: r }
issue_131: { channel: 'class/connections/channel/{idAssignature}', handler: c }
";

#[test]
fn loads_the_ten_routes_of_oro() {
    let table = table(ORO);
    assert_eq!(table.routes().len(), 10);
    let check = |topic: &str, expect: &str| assert_eq!(found(&table, topic), expect, "{topic:?}");
    check("oro/email_event/7/1", "oro_email.event user_id=7 organization_id=1");
    check("oro/email_event/7/*", "oro_email.event user_id=7 organization_id=*");
    check("oro/email_event/*/1", "-");
    check(
        "oro/attribute_import/7/12",
        "oro_entity_config.attribute_import user_id=7 config_model_id=12",
    );
    check("oro/attribute_import/7/*", "-");
    check("oro/imap_sync_fail/7", "oro_imap.sync_fail user_id=7");
    check("oro/imap_sync_fail/*", "oro_imap.sync_fail user_id=*");
    check("oro/message_queue_heartbeat", "oro_message_queue.message_queue_heartbeat");
    check("oro/reminder_remind/7", "oro_reminder.remind user_id=7");
    check("oro/ping", "oro_sync.ping");
    check("oro/data/update", "oro_sync.data_update");
    check("oro/maintenance", "oro_sync.maintenance");
    check("oro/outdated_user_page", "oro_user.outdated_user_page");
    check("oro/conversation_event/7/*", "conversation_event.event user_id=7 organization_id=*");
    check("oro/unknown", "-");
    let callback = |name: &str| table.get(name).unwrap().handler.callback.as_str();
    assert_eq!(callback("conversation_event.event"), "oro_conversation.event");
    assert_eq!(callback("oro_sync.ping"), "oro_sync.ping");
    let email = table.get("oro_email.event").unwrap();
    assert_eq!(email.requirements[1], ("organization_id".to_owned(), r"\d+|\*".to_owned()));
    assert_eq!((email.origin.line, email.origin.column), (2, 1));
}

#[test]
fn loads_the_samples_of_the_documentation() {
    let table = table(SAMPLES);
    let check = |topic: &str, expect: &str| assert_eq!(found(&table, topic), expect, "{topic:?}");
    check("acme/channel", "acme_map");
    check("sample/add_up", "acme_rpc method=add_up");
    check("sample/add-up", "-");
    check("acme/chat/lobby/5", "acme_chat room=lobby user_id=5");
    check("notification/user/admin/blog/5", "notification_user role=admin application=blog user=5");
    check("notification/user/admin/blog/*", "notification_user role=admin application=blog user=*");
    check("notification/user/adminx/blog/5", "-");
    check("notification/user/xclient/blog/5", "-");
    check("notification:user:a:b:c", "redis role=a application=b user_ref=c");
    check("chat", "defaults user=42");
    check("chat/", "defaults user=42");
    check("chat/7", "defaults user=7");
    check("notification/user/bob", "username username=bob");
    check("notification/user", "rpc method=user");
    check("notification/events/e", "issue_40a event=e");
    check("chat/r/t/u", "issue_17 room=r token=t user=u");
    check("class/connections/channel/9", "issue_131 idAssignature=9");
    assert_eq!(table.get("defaults").unwrap().options["foo"], "bar");
    assert_eq!(table.get("username").unwrap().handler.args["username"], "@app");
}
