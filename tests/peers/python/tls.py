"""TLS proxy in front of a server without TLS: CERTIFICATE KEY PORT. Prints its own port."""

import socket
import ssl
import sys
import threading


def pass_on(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(client, context, port):
    try:
        client = context.wrap_socket(client, server_side=True)
    except OSError:
        return  # The client does not trust the certificate.
    server = socket.create_connection(("127.0.0.1", port))
    threading.Thread(target=pass_on, args=(server, client), daemon=True).start()
    pass_on(client, server)


certificate, key, port = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    client, _ = listener.accept()
    threading.Thread(target=serve, args=(client, context, int(port)), daemon=True).start()
