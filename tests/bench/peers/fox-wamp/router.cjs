// fox-wamp as it comes: one realm, everybody may do everything. Takes its port as argument.

const Router = require('fox-wamp');

const router = new Router();
router.getRealm('realm1', () => router.listenWAMP({ host: '127.0.0.1', port: Number(process.argv[2]) }));
