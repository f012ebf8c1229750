"""`studio evaluate`: metrics of a model. Chooses the metric, which reads its own flags."""

import importlib

from studio import compat

MEASURES = {"adherence": ("studio.training.adherence", "do pictures show what Tiny World's prompts ask for")}


def main(argv: list[str]) -> int:
    measure, *rest = argv or ["--help"]
    if measure in ("-h", "--help"):
        rows = [f"  {name:<10} {help}" for name, (_, help) in MEASURES.items()]
        usage = [
            "usage: python -m studio evaluate MEASURE ...",
            "       python -m studio evaluate MODEL --metric NAME ...",
            "",
        ]
        print("\n".join([*usage, *rows, f"  {'MODEL':<10} distances from its data set; MODEL --help lists them"]))
        return 0
    compat.prepare()  # before the metric's module imports torch
    if measure not in MEASURES:
        return int(importlib.import_module("studio.training.distances").main(argv))
    return int(importlib.import_module(MEASURES[measure][0]).main(rest))
