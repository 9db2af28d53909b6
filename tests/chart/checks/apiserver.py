"""etcd and an API server of Kubernetes, built from the Go module of Kubernetes, for as long as a test runs."""

import json
import os
import pathlib
import re
import secrets
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from . import charts

VERSION = "1.35.4"
MAIN = """package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() { os.Exit(cli.Run(app.NewAPIServerCommand())) }
"""


def build(tools):
    """`go install` refuses modules with replacements, which that of Kubernetes has: so a module around it names them."""
    program = tools / "bin" / f"kube-apiserver-{VERSION}"
    if program.exists():
        return program
    print(f"building kube-apiserver {VERSION} (go build, once)", flush=True)
    with tempfile.TemporaryDirectory(dir=tools) as name:
        directory = pathlib.Path(name)
        told = subprocess.run(
            ["go", "mod", "download", "-json", f"k8s.io/kubernetes@v{VERSION}"], cwd=directory, check=True, capture_output=True
        )
        (directory / "go.mod").write_text(around(pathlib.Path(json.loads(told.stdout)["GoMod"]).read_text()))
        (directory / "main.go").write_text(MAIN)
        major, minor, _ = VERSION.split(".")
        told = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor}
        flags = " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in told.items())
        command = ["go", "build", "-mod=mod", "-ldflags", f"-s -w {flags}", "-o", directory / "server", "."]
        subprocess.run(command, cwd=directory, check=True, env=os.environ | {"GOFLAGS": ""})
        (directory / "server").rename(program)
    return program


def around(module):
    """The go.mod of a module that needs Kubernetes, with its parts, which lie beside it there, as published: 0.35.4."""
    parts = re.findall(r"^\s*(\S+) => \./staging/", module, re.MULTILINE)
    published = f"v0.{VERSION.partition('.')[2]}"
    module = re.sub(r"^replace \(.*?^\)\n", "", module, flags=re.MULTILINE | re.DOTALL)
    module = re.sub(r"^module .*$", f"module apiserver\n\nrequire k8s.io/kubernetes v{VERSION}", module, flags=re.MULTILINE)
    module = re.sub(r" v0\.0\.0$", f" {published}", module, flags=re.MULTILINE)
    return module + "".join(f"replace {part} => {part} {published}\n" for part in parts)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """etcd and the API server, for as long as the block runs."""

    def __init__(self, program, directory):
        self.program, self.directory, self.children = program, pathlib.Path(directory), []
        self.port, self.token = free_port(), secrets.token_hex(16)

    def __enter__(self):
        try:
            self.start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for child in reversed(self.children):
            child.kill()
            child.wait()

    def start(self, name, *command):
        log = (self.directory / f"{name}.log").open("wb")
        self.children.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=self.directory))

    def start_all(self):
        etcd = os.environ.get("TEST_ETCD") or shutil.which("etcd")
        if not etcd:
            raise SystemExit("etcd is missing: install it (the package is etcd-server), or name it in TEST_ETCD")
        client, peer = free_port(), free_port()
        urls = [f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"]
        self.start(
            "etcd", etcd, "--data-dir", "etcd", "--listen-client-urls", urls[0], "--advertise-client-urls", urls[0],
            "--listen-peer-urls", urls[1], "--initial-advertise-peer-urls", urls[1], "--initial-cluster", f"default={urls[1]}",
        )
        subprocess.run(["openssl", "genrsa", "-out", self.directory / "key", "2048"], check=True, capture_output=True)
        (self.directory / "tokens").write_text(f"{self.token},tester,tester,system:masters\n")
        self.start(
            "apiserver", str(self.program), "--etcd-servers", urls[0], "--cert-dir", "certificates",
            "--bind-address", "127.0.0.1", "--secure-port", str(self.port), "--token-auth-file", "tokens",
            "--service-account-issuer", "https://localhost", "--service-account-key-file", "key",
            "--service-account-signing-key-file", "key", "--service-cluster-ip-range", "10.0.0.0/24",
            # Whose controller does not run: there would be no account `default`.
            "--disable-admission-plugins", "ServiceAccount",
        )
        deadline = time.monotonic() + 120
        while not self.answers():
            if time.monotonic() > deadline or any(child.poll() is not None for child in self.children):
                raise SystemExit((self.directory / "apiserver.log").read_text()[-3000:])
            time.sleep(0.2)

    def answers(self):
        try:
            return self.call("GET", "/readyz") == "ok"
        except (OSError, urllib.error.HTTPError):
            return False

    def call(self, method, path, body=None):
        context = ssl.create_default_context(cafile=str(self.directory / "certificates/apiserver.crt"))
        context.check_hostname = False
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.port}{path}", json.dumps(body).encode() if body else None, headers, method=method
        )
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            return answer.read().decode()

    def helm(self, *arguments):
        file = self.directory / "certificates/apiserver.crt"
        return charts.helm(
            *arguments, "--kube-apiserver", f"https://127.0.0.1:{self.port}", "--kube-token", self.token,
            "--kube-ca-file", file, "--kube-tls-server-name", "kubernetes",
        )

    def know(self, kind, group, version, plural):
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        self.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
                "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
            },
        })
