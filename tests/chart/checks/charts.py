"""Renders the chart with Helm, by itself and as a dependency of the example chart."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import yaml

HERE = pathlib.Path(__file__).resolve().parents[1]
ROOT = HERE.parents[1]
CHART = ROOT / "helm"
# What the golden files were rendered for, and what is validated: the oldest that the chart allows, the first with
# native sidecars, and on to the newest.
USUAL = "1.34"
VERSIONS = ["1.25", "1.29", "1.31", USUAL, "1.37"]
FIRST_SIDECAR = "1.29"

HELM = os.environ["HELM"]
consumer = None


def helm(*arguments, quiet=False):
    """Standard output of a call of Helm, which must succeed; `quiet`: (succeeded, both outputs)."""
    done = subprocess.run([HELM, *map(str, arguments)], capture_output=True, text=True, check=False)
    if quiet:
        return done.returncode == 0, done.stdout + done.stderr
    if done.returncode != 0:
        raise SystemExit(f"helm {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}")
    return done.stdout


def values_files():
    return sorted((HERE / "values").glob("*.yaml"))


def example_chart():
    """The example chart with its dependency, in a copy: Helm writes beside it."""
    global consumer
    if consumer is None:
        copy = pathlib.Path(tempfile.mkdtemp(prefix="chart-", dir=os.environ["CHART_SCRATCH"]))
        shutil.copytree(CHART, copy / "helm")
        shutil.copytree(HERE / "consumer", copy / "tests/chart/consumer")
        consumer = copy / "tests/chart/consumer"
        helm("dependency", "update", consumer)
    return consumer


def chart_of(directory):
    """Somebody's own chart with its dependencies, in a copy: Helm writes beside it."""
    directory = pathlib.Path(directory)
    described = (directory / "Chart.yaml").read_text()
    if not any(one.get("name") == "hapax" for one in yaml.safe_load(described).get("dependencies") or []):
        raise SystemExit(f"{directory}/Chart.yaml has no dependency `hapax`: helm/README.md shows how to name it")
    copy = pathlib.Path(tempfile.mkdtemp(prefix="chart-", dir=os.environ["CHART_SCRATCH"])) / directory.name
    shutil.copytree(directory, copy, ignore=shutil.ignore_patterns(".git"))
    # Paths are those of the chart's own place.
    absolute = lambda found: f"file://{(directory / found[1]).resolve()}"
    (copy / "Chart.yaml").write_text(re.sub(r"file://([^/\s\"'][^\s\"']*)", absolute, described))
    helm("dependency", "update", copy)
    return copy


def template(chart, *arguments, version=USUAL, **options):
    return helm("template", "demo", chart, "--namespace", "shop", "--kube-version", f"{version}.0", *arguments, **options)


def renders(version=USUAL):
    """(name, text) of each values file, and of the example chart with each delivery."""
    for file in values_files():
        yield file.stem, template(CHART, "--values", file, version=version)
    if [int(part) for part in version.split(".")] >= [int(part) for part in FIRST_SIDECAR.split(".")]:
        chart = example_chart()
        yield "sidecar", template(chart, version=version)
        pull = ["pull=true", "hapax.config.HAPAX_DELIVERY=pull", "hapax.config.HAPAX_NAMESPACE=billing"]
        pull += [f"hapax.config.HAPAX_{name}=null" for name in ("BROKERS", "GROUP", "TOPICS", "PUSH_URL", "CONCURRENCY")]
        pull += ["hapax.secrets.HAPAX_PUSH_TOKEN=null"]
        yield "sidecar-pull", template(chart, *[part for pair in pull for part in ("--set", pair)], version=version)


def objects(text):
    """The objects of a render, by kind and name."""
    found = {}
    for thing in yaml.safe_load_all(text):
        if thing:
            key = (thing["kind"], thing["metadata"]["name"])
            assert key not in found, f"{key} is there twice"
            found[key] = thing
    return found
