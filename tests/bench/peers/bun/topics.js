// Topics of uWebSockets alone: a message of a client at /pub reaches all clients at /sub. There is
// no protocol above WebSocket, and no routing, sessions or checks. Takes its port as argument.

const TOPIC = 'all';

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: Number(process.argv[2]),
  fetch(request, server) {
    const isSubscriber = new URL(request.url).pathname === '/sub';
    if (!server.upgrade(request, { data: isSubscriber })) {
      return new Response('only WebSockets are served', { status: 400 });
    }
  },
  websocket: {
    idleTimeout: 0,
    // A slow reader loses no event, as with the other servers.
    backpressureLimit: 64 * 1024 * 1024,
    open(socket) {
      if (socket.data) {
        socket.subscribe(TOPIC);
      }
    },
    message(_socket, message) {
      server.publish(TOPIC, message);
    },
  },
});
