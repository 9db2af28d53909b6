"""What goes into the image runs by itself as a user without rights; compose.yaml gives hapax what it understands."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import yaml

from . import charts

ROOM = charts.ROOT / "examples/container"
# What distroless' cc image has, of what a program like this one needs.
BASE = r"^(ld-linux|lib(c|m|dl|rt|pthread|resolv)\.so|libgcc_s\.so)"
USER = 65532


def check(hapax):
    scratch = pathlib.Path(os.environ["CHART_SCRATCH"])
    # An image beside what was there before, as on the second build.
    image = scratch / "image"
    for _ in range(2):
        environment = os.environ | {"HAPAX_BINARY": str(pathlib.Path(hapax).resolve())}
        done = subprocess.run([ROOM / "build.sh", image], env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"build.sh: {done.stdout}{done.stderr}")
    told = json.loads((image / "usr/share/doc/hapax/sbom.cdx.json").read_text())
    names = {component["name"] for component in told["components"]}
    assert {"rdkafka-sys", "openssl-src", "ring", "tokio"} <= names and "proptest" not in names, "what is linked, no more"
    assert not list(image.rglob("*.sh")) and sorted(entry.name for entry in image.iterdir()) == ["usr"]
    compose(hapax)
    return runs_alone(scratch, image)


def runs_alone(scratch, image):
    """Laid over nothing but the libraries that the base has, it runs."""
    root = scratch / "root"
    shutil.copytree(image, root)
    for line in subprocess.run(["ldd", image / "usr/bin/hapax"], capture_output=True, text=True, check=True).stdout.splitlines():
        path = next((word for word in line.split() if word.startswith("/")), None)
        if path and re.match(BASE, pathlib.Path(path).name):
            where = root / path.lstrip("/")
            where.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, where)
    if os.geteuid() != 0:
        return "built; NOT TESTED that it runs alone, which needs root for chroot"
    command = [shutil.which("chroot"), f"--userspec={USER}:{USER}", root, "/usr/bin/hapax"]
    version = subprocess.run([*command, "--version"], env={}, capture_output=True, text=True, check=True).stdout.strip()
    refused = subprocess.run([*command, "run"], env={}, capture_output=True, text=True, check=False)
    assert refused.returncode == 64 and "HAPAX_BROKERS is missing" in refused.stderr, refused.stderr
    size = sum(file.stat().st_size for file in image.rglob("*") if file.is_file()) >> 20
    return f"{version}, {size} MiB"


def compose(hapax):
    services = yaml.safe_load((ROOM / "compose.yaml").read_text())["services"]
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in services, f"{name} needs {needed}"
            assert how["condition"] != "service_healthy" or "healthcheck" in services[needed], f"{needed} has no healthcheck"
    environment = {name: str(value) for name, value in services["hapax"]["environment"].items()}
    done = subprocess.run([hapax, "config"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"compose.yaml: {done.stderr}"
