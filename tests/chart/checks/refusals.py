"""Values that cannot work are refused, each with words that say what to do (refusals.yaml)."""

import os
import pathlib
import tempfile

import yaml

from . import charts


def check():
    cases = yaml.safe_load((charts.HERE / "refusals.yaml").read_text())
    failed = []
    for case in cases["cases"]:
        values = merge(yaml.safe_load(yaml.safe_dump(cases["good"])), case["values"])
        if case.get("chart") == "consumer":
            chart, values = charts.example_chart(), case["values"]
        else:
            chart = charts.CHART
        with tempfile.TemporaryDirectory(dir=os.environ["CHART_SCRATCH"]) as directory:
            file = pathlib.Path(directory) / "values.yaml"
            file.write_text(yaml.safe_dump(values))
            version = case.get("version", charts.USUAL)
            fine, output = charts.template(chart, "--values", file, version=version, quiet=True)
        missing = [words for words in case["says"] if not said(words, output)]
        if fine:
            failed.append(f"taken: {case['values']}")
        elif missing:
            failed.append(f"{case['values']}\n  does not say {missing}, but:\n  {output[:1500]}")
        if any(secret in output for secret in case.get("hides", [])):
            failed.append(f"{case['values']}: shows the secret")
    if failed:
        raise SystemExit("\n".join(failed))
    return f"{len(cases['cases'])} cases"


def said(words, output):
    """In the words of Helm since 3.18, or in those of earlier versions."""
    earlier = words
    if words.startswith("/"):
        earlier = f"- {words[1:].replace('/', '.')}: "
    elif words.endswith(" not allowed"):
        earlier = "Additional property {} is not allowed".format(words.split("'")[1])
    output = output.lower().replace('"', "'")
    return words.lower() in output or earlier.lower() in output


def merge(into, values):
    """As Helm does; null takes away."""
    for name, value in values.items():
        if value is None:
            into.pop(name, None)
        elif isinstance(value, dict) and isinstance(into.get(name), dict):
            merge(into[name], value)
        else:
            into[name] = value
    return into
