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


def check():
    count, deployment = 0, None
    for version in charts.VERSIONS:
        for name, text in charts.renders(version):
            for thing in yaml.safe_load_all(text):
                if not thing or thing["kind"] in FOREIGN:
                    continue
                problem = is_valid(thing, version)
                if problem:
                    raise SystemExit(f"{name}: {problem}")
                count += 1
                deployment = thing if thing["kind"] == "Deployment" else deployment
    # A check that takes everything would not be one.
    wrong = copy.deepcopy(deployment)
    wrong["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    assert is_valid(wrong, charts.USUAL), "a wrong Deployment was taken for valid"
    return f"{count} objects in {', '.join(charts.VERSIONS)}"
