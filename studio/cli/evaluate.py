"""`studio evaluate`: metrics of a model. Chooses the metric, which reads its own flags."""

import importlib

from studio import compat
from studio.core.errors import UnknownName

MEASURES = {"adherence": ("studio.training.adherence", "do pictures show what Tiny World's prompts ask for")}


def main(argv: list[str]) -> int:
    measure, *rest = argv or ["--help"]
    if measure in ("-h", "--help"):
        rows = [f"  {name:<10} {help}" for name, (_, help) in MEASURES.items()]
        print("\n".join(["usage: python -m studio evaluate MEASURE ...", "", *rows]))
        return 0
    if measure not in MEASURES:
        raise UnknownName("measure", measure, list(MEASURES))
    compat.prepare()  # before the metric's module imports torch
    return int(importlib.import_module(MEASURES[measure][0]).main(rest))
