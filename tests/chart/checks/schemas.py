"""Each render is valid in each version of Kubernetes, by its own schemas."""

import copy
import re

import kubernetes_validate
import yaml

from . import charts

# Kinds of operators, whose schemas are not Kubernetes'.
FOREIGN = {"ScaledObject", "PodMonitor", "PrometheusRule"}
# Groups of Kubernetes itself, beside those without a dot: what is not known of them is a mistake.
OWN = re.compile(
    r"[^.]*|(admissionregistration|apiextensions|certificates|coordination|discovery|events|flowcontrol\.apiserver|networking|"
    r"node|rbac\.authorization|resource|scheduling|storage)\.k8s\.io"
)
# What Helm says where a chart does not want this version, this one or another.
NOT_FOR_IT = re.compile(r"chart requires kubeVersion: \S+|mode: sidecar needs Kubernetes [0-9.]+ or later")


def is_valid(thing, version):
    try:
        kubernetes_validate.validate(thing, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{version}: {thing['kind']} {thing['metadata'].get('name')}: {error.message[:300]}"
    return None


def validate(name, text, version):
    """The objects of a render that Kubernetes itself knows; ends at one that is not valid."""
    known = [thing for thing in yaml.safe_load_all(text) if thing and thing["kind"] not in FOREIGN]
    for thing in known:
        problem = is_valid(thing, version)
        if problem:
            raise SystemExit(f"{name}: {problem}")
    return known


def check_values(files, directory=None):
    """Somebody's own values, of this chart or of one of their own that holds it."""
    chart = charts.chart_of(directory) if directory else charts.CHART
    arguments = [argument for file in files for argument in ("--values", file)]
    fit, skipped, valid, foreign = [], {}, [], []
    for version in charts.VERSIONS:
        fine, text = charts.template(chart, *arguments, version=version, quiet=True)
        # Another mistake beside it is seen with the versions that are left.
        why = None if fine or version == charts.VERSIONS[-1] else NOT_FOR_IT.search(text)
        if why:
            skipped[version] = why[0]
            continue
        if not fine:
            raise SystemExit(text)
        fit.append(version)
        valid, foreign = sort_out(text, version)
    told = f"{count(len(valid), 'object')} valid"
    if foreign:
        told += f", {len(foreign)} not checked (no schema): {', '.join(sorted({thing['kind'] for thing in foreign}))}"
    told += f"; Kubernetes {', '.join(fit)}"
    if skipped:
        told += f"; skipped {', '.join(skipped)} ({', '.join(sorted(set(skipped.values())))})"
    if not directory and not any(thing["kind"] in ("Deployment", "StatefulSet") for thing in valid):
        told += "; no pod is among them: with `mode: sidecar` name your application's chart, too (--chart DIRECTORY)"
    return told


def count(number, what):
    return f"{number} {what}{'' if number == 1 else 's'}"


def sort_out(text, version):
    """The objects that are valid, and those that have no schema; ends at one that is not valid."""
    valid, foreign = [], []
    for thing in yaml.safe_load_all(text):
        if not thing:
            continue
        try:
            problem = is_valid(thing, version)
        except kubernetes_validate.utils.SchemaNotFoundError:
            group = thing["apiVersion"].rpartition("/")[0]
            if not OWN.fullmatch(group):
                foreign.append(thing)
                continue
            problem = f"{version}: Kubernetes has no {thing['kind']} of {thing['apiVersion']}"
        if problem:
            raise SystemExit(problem)
        valid.append(thing)
    return valid, foreign


def check():
    count, deployment = 0, None
    for version in charts.VERSIONS:
        for name, text in charts.renders(version):
            known = validate(name, text, version)
            count += len(known)
            deployment = next((thing for thing in known if thing["kind"] == "Deployment"), deployment)
    # A check that takes everything would not be one.
    wrong = copy.deepcopy(deployment)
    wrong["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    assert is_valid(wrong, charts.USUAL), "a wrong Deployment was taken for valid"
    told = check_values([charts.HERE / "values/production.yaml"])
    assert "3 not checked (no schema): PodMonitor, PrometheusRule, ScaledObject" in told, told
    told = check_values([], charts.HERE / "consumer")
    assert f"Kubernetes {charts.FIRST_SIDECAR}, " in told and "; skipped 1.25 (" in told, told
    return f"{count} objects in {', '.join(charts.VERSIONS)}"
