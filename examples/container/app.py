"""The application of compose.yaml: takes each message by HTTP, and counts how often it saw it.

An answer with 2xx says that the message was handled, and hapax then never sends it again within the window.
"""

import collections
import http.server
import threading

seen = collections.Counter()
# Messages come on several threads.
counting = threading.Lock()


class Application(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):  # noqa: N802, the name is the library's
        body = self.rfile.read(int(self.headers["Content-Length"])).decode(errors="replace")
        key = self.headers["Idempotency-Key"]
        with counting:
            seen[key] += 1
            print(f"handled {body!r}, seen {seen[key]} time(s), attempt {self.headers['hapax-attempt']}", flush=True)
        self.send_response(204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("", 8080), Application).serve_forever()
