"""The program itself understands what each render gives it: variables and files, all of them."""

import json
import pathlib
import subprocess
import tempfile

from . import charts

# What stands in Secrets and ConfigMaps that are not the chart's.
CONTENTS = {
    "HAPAX_REDIS_URL": "redis://:a-word@redis:6379",
    "HAPAX_TOKEN": "a-token-of-some-length",
    "HAPAX_PUSH_TOKEN": "a-token-of-some-length",
    "HAPAX_ID_KEY": "sixteen or more random bytes",
    "HAPAX_KAFKA_SASL_PASSWORD": "a-word",
}
FILES = "/etc/hapax/files/"


def certificate():
    """A certificate and its key, in PEM."""
    with tempfile.TemporaryDirectory() as directory:
        key, chain = f"{directory}/key", f"{directory}/chain"
        options = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=hapax", "-keyout", key, "-out", chain]
        subprocess.run(["openssl", "req", "-x509", *options], check=True, capture_output=True)
        return pathlib.Path(chain).read_text(), pathlib.Path(key).read_text()


def check(hapax):
    count = 0
    chain, key = certificate()
    for name in ("HAPAX_REDIS_CA_FILE", "HAPAX_KAFKA_SSL_CA_LOCATION", "HAPAX_TLS_CERTIFICATE_FILE"):
        CONTENTS[name] = chain
    CONTENTS["HAPAX_TLS_KEY_FILE"] = key
    for name, text in charts.renders():
        things = charts.objects(text)
        for thing in things.values():
            if thing["kind"] not in ("Deployment", "StatefulSet"):
                continue
            spec = thing["spec"]["template"]["spec"]
            for container in spec["containers"] + spec.get("initContainers", []):
                if container["name"] == "hapax":
                    count += understands(hapax, name, container, things)
    return f"{count} variables"


def understands(hapax, name, container, things):
    with tempfile.TemporaryDirectory() as directory:
        given = environment(container, things, pathlib.Path(directory))
        done = subprocess.run([hapax, "config", "--json"], env=given, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{name}: hapax config ended with {done.returncode}:\n{done.stderr}")
        told = json.loads(done.stdout)
    for variable in given:
        entry = told["settings"].get(variable) or told["settings"].get(variable.removesuffix("_FILE"))
        assert entry and entry["from"] != "default", f"{name}: {variable} was not heard"
    assert not told["ignored"], f"{name}: {told['ignored']}"
    return len(given)


def environment(container, things, directory):
    """The variables of a container, its files in this directory."""
    given = {}
    for source in container.get("envFrom", []):
        # Of others it is not known what they hold; one that is named as existing holds the URL.
        known = things.get(("ConfigMap", source.get("configMapRef", {}).get("name")))
        given |= known["data"] if known else {}
        given |= {"HAPAX_REDIS_URL": "rediss://:a-word@redis:6379"} if "secretRef" in source else {}
    # A CA means TLS.
    with_ca = any(entry["name"] == "HAPAX_REDIS_CA_FILE" for entry in container.get("env", []))
    for entry in container.get("env", []):
        value = entry.get("value", CONTENTS.get(entry["name"], "demo-hapax-0"))
        if value.startswith(FILES):
            file = directory / value.removeprefix(FILES)
            content = CONTENTS.get(file.name, "")
            if file.name == "HAPAX_REDIS_URL" and with_ca:
                content = content.replace("redis://", "rediss://")
            file.write_text(content + "\n")
            value = str(file)
        given[entry["name"]] = value
    return given
