"""The application's preStop pauses hapax, with curl and with wget, and waits although the call fails."""

import http.server
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request

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


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def paused(hapax, program, token):
    """What a real hapax, which waits for its brokers, says of itself after the hook."""
    port, health = free_port(), free_port()
    given = {
        "HAPAX_STORE": "memory", "HAPAX_BROKERS": "127.0.0.1:1", "HAPAX_GROUP": "g", "HAPAX_TOPICS": "t",
        "HAPAX_PUSH_URL": "http://127.0.0.1:1/", "HAPAX_LISTEN": f"127.0.0.1:{port}",
        "HAPAX_HEALTH_LISTEN": f"127.0.0.1:{health}", "HAPAX_TOKEN_FILE": str(token),
    }
    with subprocess.Popen([hapax, "run"], env=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 30
            while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
                assert process.poll() is None and time.monotonic() < deadline, "hapax does not listen"
                time.sleep(0.05)
            subprocess.run(command(port, program, token), timeout=20, check=True)
            bearer = {"Authorization": f"Bearer {token.read_text().strip()}"}
            request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/status", headers=bearer)
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)["paused"]
        finally:
            process.kill()


def check(hapax):
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
        if hapax:
            told = paused(hapax, program, token)
            assert told == "this pod ends", f"{program}: paused is {told}"
    server.shutdown()
    return f"{' and '.join(programs)}, {'hapax was paused' if hapax else 'NOT TESTED against hapax itself'}"
