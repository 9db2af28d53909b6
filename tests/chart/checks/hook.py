"""The application's preStop says what hapax understands, with curl and with wget, and waits although the call fails."""

import http.server
import shutil
import subprocess
import threading
import time

from . import charts


class Recorder(http.server.BaseHTTPRequestHandler):
    """Keeps the last call, and answers as `POST /v1/pause` does."""

    calls = []
    status = 200

    def do_POST(self):  # noqa: N802, the name is the library's
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.calls.append((self.path, self.headers["Content-Type"], self.headers["Authorization"], body))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_):
        pass


def command(port, program, token_file):
    sets = [
        f"hapax.config.HAPAX_LISTEN=127.0.0.1:{port}", f"hapax.sidecar.preStop.with={program}",
        "hapax.sidecar.preStop.waitSeconds=1", f"hapax.sidecar.preStop.tokenFile={token_file}",
    ]
    text = charts.template(charts.example_chart(), *[part for pair in sets for part in ("--set", pair)])
    spec = charts.objects(text)[("Deployment", "demo")]["spec"]["template"]["spec"]
    return spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]


def check():
    server = http.server.HTTPServer(("127.0.0.1", 0), Recorder)
    port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    token = charts.example_chart() / "token"
    token.write_text("a-token-of-some-length\n")
    programs = [program for program in ("curl", "wget") if shutil.which(program)]
    assert programs, "neither curl nor wget is installed"
    for program in programs:
        for token_file, authorization in (("", None), (token, "Bearer a-token-of-some-length")):
            for Recorder.status in (200, 409):
                Recorder.calls.clear()
                since = time.monotonic()
                done = subprocess.run(command(port, program, token_file), timeout=20, check=False, capture_output=True)
                expected = [("/v1/pause", "application/json", authorization, b'{"reason":"this pod ends"}')]
                assert Recorder.calls == expected, f"{program}: {Recorder.calls}"
                assert done.returncode == 0, "a hook that fails is an event in the log of the pod"
                assert time.monotonic() - since >= 1, "did not wait"
    server.shutdown()
    return " and ".join(programs)
