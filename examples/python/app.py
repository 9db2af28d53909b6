"""An application that knows nothing of Kafka: it takes orders as HTTP requests. hapax delivers to it (HAPAX_DELIVERY=push).

Guarantee: none of its own. Each order comes once, unless hapax or this process dies between the effect and the answer; the
header `idempotency-key` is then the same, so an application that remembers it can tell.

    python3 app.py 8000
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # Keeps connections open.

    def do_POST(self):
        order = self.rfile.read(int(self.headers["content-length"])).decode()
        print("order", self.headers["ce-id"], order, flush=True)  # The effect.
        self.send_response(204)  # Handled. 4xx and 5xx: see src/docs/configuration.md.
        self.end_headers()

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), App).serve_forever()
