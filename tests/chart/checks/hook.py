"""When a pod ends, hapax is paused by the hook of its own container, and the application waits for that."""

import json
import socket
import subprocess
import time
import urllib.request

import yaml

from . import charts


def spec(*sets, version=charts.USUAL):
    arguments = [part for pair in sets for part in ("--set", pair)]
    things = charts.objects(charts.template(charts.example_chart(), *arguments, version=version))
    return things[("Deployment", "demo")]["spec"]["template"]["spec"]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def paused(hapax, command):
    """What a real hapax, which waits for its brokers, says of itself after the hook."""
    port, health = free_port(), free_port()
    given = {
        "HAPAX_STORE": "memory", "HAPAX_BROKERS": "127.0.0.1:1", "HAPAX_GROUP": "g", "HAPAX_TOPICS": "t",
        "HAPAX_PUSH_URL": "http://127.0.0.1:1/", "HAPAX_LISTEN": f"127.0.0.1:{port}",
        "HAPAX_HEALTH_LISTEN": f"127.0.0.1:{health}", "HAPAX_TOKEN": "a-token-of-some-length",
    }
    with subprocess.Popen([hapax, "run"], env=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 30
            while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
                assert process.poll() is None and time.monotonic() < deadline, "hapax does not listen"
                time.sleep(0.05)
            subprocess.run([hapax, *command], env=given, stdout=subprocess.DEVNULL, timeout=20, check=True)
            bearer = {"Authorization": f"Bearer {given['HAPAX_TOKEN']}"}
            request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/status", headers=bearer)
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)["paused"]
        finally:
            process.kill()


def check(hapax):
    program, *command = spec()["initContainers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    recipe = (charts.ROOT / "examples/container/Dockerfile").read_text()
    assert f'ENTRYPOINT ["{program}"]' in recipe, f"the image has no {program}"
    for version, sets, wanted in (
        (charts.USUAL, [], {"sleep": {"seconds": 6}}),
        (charts.USUAL, ["hapax.sidecar.preStopSeconds=31"], {"sleep": {"seconds": 31}}),
        ("1.30", [], {"sleep": {"seconds": 6}}),
        ("1.29", [], {"exec": {"command": ["sleep", "6"]}}),
    ):
        found = spec(*sets, version=version)["containers"][0]["lifecycle"]["preStop"]
        assert found == wanted, f"Kubernetes {version} {sets}: the application waits by {found}"
    for name, text in charts.renders():
        for thing in yaml.safe_load_all(text):
            pod = ((thing or {}).get("spec", {}).get("template") or {}).get("spec", {})
            for container in pod.get("initContainers", []) + pod.get("containers", []):
                hooked = container["name"] == "hapax" and "lifecycle" in container
                assert hooked == (name == "sidecar" and container["name"] == "hapax"), f"{name}: {container['name']}"
    if not hapax:
        return "NOT TESTED against hapax itself"
    told = paused(hapax, command)
    assert told == "this pod ends", f"paused is {told}"
    return "hapax was paused"
