// The demo page: three connections, one for the page and one for each pane. Each part of the page
// is in a file of its own.

import { connect, showConnection } from './connection.js';
import { showGreeting } from './greeting.js';
import { openPane, switchMaintenance } from './pane.js';
import { showTicker } from './ticker.js';
import { showVersions } from './versions.js';

const sync = connect();
showConnection(sync);
showGreeting(sync);
showTicker(sync);
showVersions(sync);

const ann = openPane({ name: 'Ann', id: 7 });
openPane({ name: 'Ben', id: 8 });
switchMaintenance(ann);
