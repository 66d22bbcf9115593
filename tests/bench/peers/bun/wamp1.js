// The smallest broker of WAMP v1 on the topics of uWebSockets: subscriptions and publications, with
// no routes, handlers, checks or limits. Takes its port as argument, and for TLS the files of its
// certificate and key.

const [WELCOME, SUBSCRIBE, UNSUBSCRIBE, PUBLISH, EVENT] = [0, 5, 6, 7, 8];

const [port, certificate, key] = process.argv.slice(2);

let sessions = 0;

Bun.serve({
  tls: certificate && { cert: Bun.file(certificate), key: Bun.file(key) },
  hostname: '127.0.0.1',
  port: Number(port),
  fetch(request, server) {
    if (!server.upgrade(request, { headers: { 'Sec-WebSocket-Protocol': 'wamp' } })) {
      return new Response('only WebSockets are served', { status: 400 });
    }
  },
  websocket: {
    idleTimeout: 0,
    // A slow reader loses no event, as with the other servers.
    backpressureLimit: 64 * 1024 * 1024,
    open(socket) {
      sessions += 1;
      socket.send(JSON.stringify([WELCOME, `session-${sessions}`, 1, 'uWebSockets']));
    },
    message(socket, text) {
      const [code, topic, event] = JSON.parse(text);
      if (code === SUBSCRIBE) {
        socket.subscribe(topic);
      } else if (code === UNSUBSCRIBE) {
        socket.unsubscribe(topic);
      } else if (code === PUBLISH) {
        // The topics of a socket exclude itself.
        socket.publish(topic, JSON.stringify([EVENT, topic, event]));
      }
    },
  },
});
