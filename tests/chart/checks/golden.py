"""The renders are what they were: a change shows in the diff of tests/chart/golden."""

import difflib

from . import charts

GOLDEN = charts.HERE / "golden"


def plain(text):
    """Without blanks at the ends of lines, which an editor would take away, and blank lines, of which Helm 4 makes more."""
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines() if line.strip())


def check(update):
    stale, names = [], set()
    for name, text in charts.renders():
        names.add(f"{name}.yaml")
        file = GOLDEN / f"{name}.yaml"
        text = plain(text)
        old = file.read_text() if file.exists() else ""
        if old == text:
            continue
        stale.append(name)
        if update:
            file.write_text(text)
        else:
            lines = difflib.unified_diff(old.splitlines(), text.splitlines(), f"golden/{name}.yaml", "now", lineterm="", n=2)
            print("\n".join(list(lines)[:60]))
    for file in GOLDEN.glob("*.yaml"):
        if file.name not in names:
            stale.append(file.stem)
            if update:
                file.unlink()
    if stale and not update:
        raise SystemExit(f"renders changed: {', '.join(stale)}; where that is meant: tests/chart/run --update")
    return f"{len(names)} renders" + (f", written: {', '.join(stale)}" if stale else "")
