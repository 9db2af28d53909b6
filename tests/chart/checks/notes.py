"""What people read after an installation: it names what they can call, and warns where they must not rely on it."""

import os
import pathlib
import shutil
import tempfile

import yaml

from . import charts

# Words of the notes of a set of values.
SAYS = {
    "push": ["installed as demo-hapax", "It reads orders,payments as billing", "posts each message once to http://billing"],
    "pull": ["https://demo-hapax.shop:443", "with the token"],
    "statefulset": ["statefulset/demo-hapax"],
    "trial": ["WARNING: trialRedis.enabled", "maxmemory-policy noeviction", "Note: networkPolicy"],
    "memory": ["WARNING: HAPAX_STORE=memory"],
}
WARNINGS = {"trial", "memory"}


def check():
    # Helm shows notes only after it spoke with a server: so in a copy they are a template like any other.
    copy = pathlib.Path(tempfile.mkdtemp(dir=os.environ["CHART_SCRATCH"])) / "helm"
    shutil.copytree(charts.CHART, copy)
    notes = (copy / "templates/NOTES.txt").read_text()
    wrapped = '{{- define "notes" -}}\n' + notes + '\n{{- end -}}\nnotes: {{ include "notes" . | toJson }}\n'
    (copy / "templates/notes.yaml").write_text(wrapped)
    for file in charts.values_files():
        text = charts.template(copy, "--values", file, "--show-only", "templates/notes.yaml")
        told = yaml.safe_load(text)["notes"]
        missing = [words for words in SAYS.get(file.stem, []) if words not in told]
        assert not missing, f"{file.stem}: {missing} is not in:\n{told}"
        assert ("WARNING" in told) == (file.stem in WARNINGS), f"{file.stem}: a warning too many, or none"
        assert "%!" not in told and "<no value>" not in told, told
    return f"{len(charts.values_files())} installations"
