"""What must hold in every render, whatever the values: security, selectors, ports, volumes, ends."""

import json
import re

import yaml

from . import charts

NAMES = (charts.CHART / "templates/_variables.tpl").read_text()
SECRETS = re.search(r"secretVariables[^`]*`([^`]*)`", NAMES)[1].split()
# Pods of the chart's users: of these only what the chart's templates add is looked at.
USERS = "billing"


def check():
    count = 0
    for name, text in charts.renders():
        things = charts.objects(text)
        try:
            for thing in things.values():
                count += 1
                if thing["kind"] in ("Deployment", "StatefulSet"):
                    pod(thing["spec"]["template"]["spec"])
                if thing["kind"] == "ConfigMap" and "hapax.json" not in thing["data"]:
                    assert not set(SECRETS) & set(thing["data"]), "a secret in a ConfigMap"
                selected(thing, things)
            assert not re.search(r"HAPAX_\w+_(PORT|HOST)\b", text), "looks like a variable that Kubernetes sets"
        except AssertionError as error:
            raise SystemExit(f"{name}: {thing['kind']} {thing['metadata']['name']}: {error}") from None
    return f"{count} objects, {versions()}, {files()}"


def versions():
    """One version of hapax, and one of the compiler, wherever they are written."""
    cargo = (charts.ROOT / "Cargo.toml").read_text()
    hapax, rust = (re.search(rf'^{name} = "(.*)"', cargo, re.MULTILINE)[1] for name in ("version", "rust-version"))
    chart = yaml.safe_load((charts.CHART / "Chart.yaml").read_text())
    container = charts.ROOT / "examples/container"
    dockerfile = (container / "Dockerfile").read_text()
    assert chart["appVersion"] == hapax, "Chart.yaml has another appVersion than Cargo.toml"
    assert f'image.version="{hapax}"' in dockerfile and f"ARG RUST={rust}\n" in dockerfile, "the Dockerfile has other versions"
    compose = yaml.safe_load((container / "compose.yaml").read_text())["services"]["hapax"]["image"]
    assert compose == f"hapax:{hapax}", "compose.yaml has another version"
    return f"hapax {hapax}, Rust {rust}"


def files():
    """The alerts and the dashboard are installed as they stand in helm/files."""
    alerts, dashboard = (charts.CHART / "files" / name for name in ("alerts.yaml", "dashboard.json"))
    if not (alerts.exists() and dashboard.exists()):
        return "NOT TESTED: helm/files has no alerts and no dashboard"
    sets = ["--set", "alerts.enabled=true,dashboard.enabled=true", "--values", charts.HERE / "values/push.yaml"]
    things = charts.objects(charts.template(charts.CHART, *sets))
    rules = things[("PrometheusRule", "demo-hapax")]["spec"]
    assert rules == yaml.safe_load(alerts.read_text()), "the alerts are others"
    base = "https://git.example/hapax/blob/main"
    for given in (base, f"{base}/"):
        text = charts.template(charts.CHART, *sets, "--set", f"alerts.runbookBaseUrl={given}")
        linked = charts.objects(text)[("PrometheusRule", "demo-hapax")]["spec"]
        for alert in (rule for group in linked["groups"] for rule in group["rules"] if "alert" in rule):
            notes = alert["annotations"]
            assert notes.pop("runbook_url") == f"{base}/{notes['runbook']}", f"{alert['alert']}: another runbook_url"
        assert linked == rules, "with runbook_url the alerts are others"
    shown = things[("ConfigMap", "demo-hapax-dashboard")]["data"]["hapax.json"]
    assert json.loads(shown) == json.loads(dashboard.read_text()), "the dashboard is another one"
    return f"{len(rules['groups'])} groups of alerts, the dashboard"


def pod(spec):
    assert spec["enableServiceLinks"] is False, "enableServiceLinks"
    all_containers = spec["containers"] + spec.get("initContainers", [])
    ours = [container for container in all_containers if container["name"] != USERS]
    if len(ours) == len(all_containers):
        assert spec["automountServiceAccountToken"] is False, "automountServiceAccountToken"
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["seccompProfile"]
    volumes = {volume["name"] for volume in spec.get("volumes", [])}
    for container in ours:
        context = context_of(container, spec)
        assert context["runAsNonRoot"] and context["runAsUser"] > 0, "runs as root"
        assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]} and context["seccompProfile"]["type"] == "RuntimeDefault"
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            action = container.get(probe, {})
            port = action.get("httpGet", action.get("tcpSocket", {"port": container["ports"][0]["name"]}))["port"]
            assert port in ports, f"{probe} asks {port}"
        mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
        assert mounted <= volumes, f"no volume {mounted - volumes}"
        variables(container, spec)


def context_of(container, spec):
    """What holds for the container: its own, and the pod's where it says nothing."""
    return spec.get("securityContext", {}) | container["securityContext"]


def variables(container, spec):
    given = {entry["name"]: entry for entry in container.get("env", [])}
    for secret in SECRETS:
        shown = given.get(secret, {}).get("value", "")
        assert not shown or "trial-redis" in shown, f"{secret} is shown"
    # Each file that a variable names is mounted there.
    files = {
        item["path"]
        for volume in spec.get("volumes", [])
        for source in volume.get("projected", {}).get("sources", [])
        for kind in source.values()
        for item in kind["items"]
    }
    for entry in given.values():
        path = entry.get("value", "")
        if path.startswith("/etc/hapax/files/"):
            assert path.rsplit("/", 1)[1] in files, f"{entry['name']} names a file that is not mounted"
    if container["name"] == "hapax" and "HAPAX_SHUTDOWN_LIMIT" not in json.dumps(spec):
        assert spec["terminationGracePeriodSeconds"] > 25, "killed before its own limit"


def labels_of(things):
    return [
        thing["spec"]["template"]["metadata"]["labels"]
        for thing in things.values()
        if thing["kind"] in ("Deployment", "StatefulSet")
    ]


def selected(thing, things):
    """Each selector takes exactly one of the pods, and each reference has its object."""
    spec = thing.get("spec", {})
    selector = spec.get("podSelector") or spec.get("selector")
    if selector is not None:
        labels = selector.get("matchLabels", selector)
        matching = [pods for pods in labels_of(things) if labels.items() <= pods.items()]
        assert len(matching) == 1, f"its selector takes {len(matching)} kinds of pods"
    target = spec.get("scaleTargetRef")
    assert not target or (target["kind"], target["name"]) in things, "scales what is not there"
    if target:
        assert "replicas" not in things[(target["kind"], target["name"])]["spec"], "replicas is set twice"
    if thing["kind"] == "StatefulSet":
        assert ("Service", spec["serviceName"]) in things, "no Service for its names"
    if thing["kind"] == "NetworkPolicy":
        for rule in spec["egress"] + spec["ingress"]:
            assert rule["ports"], "a rule for every port"
