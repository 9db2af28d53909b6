"""Each render is valid in each version of Kubernetes, by its own schemas."""

import copy

import kubernetes_validate
import yaml

from . import charts

# Kinds of operators, whose schemas are not Kubernetes'.
FOREIGN = {"ScaledObject", "PodMonitor", "PrometheusRule"}


def is_valid(thing, version):
    try:
        kubernetes_validate.validate(thing, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{version}: {thing['kind']} {thing['metadata']['name']}: {error.message[:300]}"
    return None


def validate(name, text, version):
    """The objects of a render that Kubernetes itself knows; ends at one that is not valid."""
    known = [thing for thing in yaml.safe_load_all(text) if thing and thing["kind"] not in FOREIGN]
    for thing in known:
        problem = is_valid(thing, version)
        if problem:
            raise SystemExit(f"{name}: {problem}")
    return known


def check_values(file):
    """Somebody's own values."""
    count = 0
    for version in charts.VERSIONS:
        text = charts.template(charts.CHART, "--values", file, version=version)
        count = len(validate(file, text, version))
    return f"{count} objects, valid in {', '.join(charts.VERSIONS)}"


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
    return f"{count} objects in {', '.join(charts.VERSIONS)}"
