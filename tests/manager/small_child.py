"""The converter's process for tests: families are as small as the folders named in the environment; all else is real.

Loads no torch before the converter does, so that a test which ends it beforehand does not pay for that.
"""

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from studio.manager.conversion import converter
from studio.manager.conversion.component import ComponentFile
from studio.manager.disk import attachments, sniff, tokenizers
from studio.manager.families import FAMILIES

SOURCE = "UNNOISE_TEST_SOURCE_"  # and a family's name: the folder that it is as small as
HOLD = "UNNOISE_TEST_HOLD"  # a file: while it is there, what it names is not done, START or a component
START = "start"
WIDTHS = {"clip_l": 32, "clip_g": 64, "t5xxl": 96}


def shrink(patch: pytest.MonkeyPatch, family: str, folder: Path, variant: str = "") -> None:
    """In this process the family's blueprint, and the widths that models are known by, are as small as the folder's."""
    whole = FAMILIES.get(family)
    blueprint = whole.blueprint_of(variant)
    assert blueprint is not None
    configs = {name: folder / name / "config.json" for name in blueprint.configs if name != "scheduler"}
    read = {name: json.loads(file.read_text()) for name, file in configs.items() if file.exists()}
    small = replace(blueprint, configs=blueprint.configs | read)
    changed = {"variants": whole.variants | {variant: small}} if variant else {"blueprint": small}
    patch.setitem(FAMILIES._items, family, replace(whole, **changed))
    if "unet" in read and not variant:
        patch.setitem(attachments.CONTEXT_FAMILY, read["unet"]["cross_attention_dim"], family)
    encoders = ((*row[:3], WIDTHS.get(row[0], row[3])) for row in sniff.TEXT_ENCODERS)
    patch.setattr(sniff, "TEXT_ENCODERS", tuple(encoders))
    for file in folder.glob("tokenizer*/tokenizer.json"):
        model = json.loads(file.read_text())["model"]
        if model["type"] == "BPE":
            patch.setattr(tokenizers, "SIZE", len(model["vocab"]))


def shrink_families() -> None:
    """Those that the environment names, for the rest of this process's life."""
    for name, folder in os.environ.items():
        if name.startswith(SOURCE):
            shrink(pytest.MonkeyPatch(), name.removeprefix(SOURCE), Path(folder))


def hold_back(file: Path) -> None:
    make, convert = converter.import_checkpoint, converter.convert

    def held(name: str) -> bool:
        try:
            return name in file.read_text()
        except FileNotFoundError:
            return False

    def wait_for(name: str) -> None:
        while held(name):
            time.sleep(0.01)

    def held_make(conversion: Any, folders: Any, emit: Any) -> None:
        if held(START):
            emit(what="converting nothing yet", fraction=0.0)
        wait_for(START)
        make(conversion, folders, emit)

    def held_convert(component: ComponentFile, *arguments: Any) -> None:
        convert(component, *arguments)
        wait_for(component.name)

    converter.import_checkpoint, converter.convert = held_make, held_convert


if __name__ == "__main__":
    converter.NICE = 0  # a test waits for it, on a machine that is busy with the others
    shrink_families()
    if HOLD in os.environ:
        hold_back(Path(os.environ[HOLD]))
    sys.exit(converter.main())
