// Page code that TypeScript has to accept or to reject.

import { Sync, SyncError, type SyncEvent } from 'jackfield-sync';
import { ContentManager } from 'jackfield-sync/content';
import { maintenanceNotice, type MaintenanceState } from 'jackfield-sync/maintenance';
import { keepRelevant } from 'jackfield-sync/model';

interface Order {
  id: number;
}
const order: Order = { id: 1 };

const sync = new Sync({ retry: { first: undefined, most: 1 }, heartbeat: Infinity, ticket: async () => null });
sync.subscribe<Order>('a', async ({ id }, event: SyncEvent) => { await id; event.publication.toFixed(); }).unsubscribe();

// Values with an interface type are accepted.
sync.publish('a', order, { args: [order], kwargs: order, wamp: { exclude_authid: ['eve'] } });
sync.call<Order>('a', [order], { kwargs: order }).then(({ id }) => id.toFixed());

sync.addEventListener('refused', ({ detail }) => { const why: SyncError = detail.error; return why; });
sync.addEventListener('restored', ({ detail }) => { const topic: string = detail.topic; return topic; });
sync.addEventListener('connected', { handleEvent(event) { return event.type; } });

const content = new ContentManager(sync, { message: undefined, topic: undefined, notify: (text) => text.length });
const tags = ['a', 'b'] as const;
content.open({ tags });
content.open({ tags: new Set(tags) }).tags.add('c');
// @ts-expect-error: a string would be read as a list of its letters
content.open({ tags: 'Order_7' });

maintenanceNotice(sync, { user: '', current: () => sync.call<MaintenanceState>('oro/maintenance') });
keepRelevant(sync, { url: 'a', nothing: 1 });

// @ts-expect-error: the state is read-only
sync.state = 'closed';
// @ts-expect-error: a ticket is a string
new Sync({ ticket: () => 5 });
