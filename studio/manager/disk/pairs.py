"""Pipelines that are published in two folders, a prior and a decoder, joined to the one that makes a picture from a prompt.

diffusers has a pipeline of both halves; its folder is laid out here as links to the parts of the two, so that whoever
reads it need not know. Which halves belong together is read from that pipeline's own source. No torch.
"""

import difflib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from studio.core.errors import ModelError
from studio.core.models import ModelInfo
from studio.manager.disk.folder_parts import check_code, components_of, read_json
from studio.manager.families.generic import generic_family
from studio.manager.families.pipeline_source import made_of, pipelines_named

PRIOR = "prior_"  # before the names of the prior's components


class Pair(NamedTuple):
    """The pipeline classes of a whole and of its halves."""

    whole: str
    prior: str


@cache
def pairs() -> dict[str, Pair]:
    """The class of a decoder's pipeline -> what makes it whole."""
    found = {}
    for whole in pipelines_named("CombinedPipeline"):
        if generic_family(whole) is not None:
            prior, decoder = sorted(made_of(whole), key=lambda name: "Prior" not in name)
            found[decoder] = Pair(whole, prior)
    return found


def joined(
    info: ModelInfo,  # a folder that cannot be used by itself
    path: Path,
    others: Iterable[tuple[ModelInfo, Path]],
    private: Path,  # where joined folders are kept
) -> Path | None:
    """The folder of the whole, if `path` holds a decoder; None if it is none. Raises ModelError where its prior is not
    here, or a half carries code."""
    pair = pairs().get(_class_of(path) or "") if info.kind == "diffusers" and info.problem else None
    if pair is None:
        return None
    priors = [other for _, other in others if other.is_dir() and _class_of(other) == pair.prior]
    if not priors:
        raise ModelError(
            f"It is the second half of a pair, and makes no picture without the first: a folder of {pair.prior}, which is "
            "not here."
        )
    prior = max(priors, key=lambda other: difflib.SequenceMatcher(None, str(other), str(path)).ratio())
    for half in (path, prior):
        check_code(half)
    return _laid_out(pair.whole, path, prior, private)


def _laid_out(whole: str, decoder: Path, prior: Path, private: Path) -> Path:
    halves = {"": decoder, PRIOR: prior}
    indexes = {before: read_json(half / "model_index.json") for before, half in halves.items()}
    stamps = [(str(half.resolve()), (half / "model_index.json").stat().st_mtime_ns) for half in halves.values()]
    folder = private / hashlib.sha256(json.dumps(stamps).encode()).hexdigest()[:24]
    if folder.is_dir():
        return folder
    named = {
        before + name: value
        for before, index in indexes.items()
        for name, value in index.items()
        if isinstance(value, list) and not name.startswith("_")
    }
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        fresh.mkdir(parents=True)
        for before, half in halves.items():
            for name in components_of(indexes[before]):
                if (half / name).is_dir():
                    (fresh / (before + name)).symlink_to((half / name).resolve(), target_is_directory=True)
        (fresh / "model_index.json").write_text(json.dumps({"_class_name": whole} | named))
        os.replace(fresh, folder)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        if not folder.is_dir():  # else another process was quicker
            raise ModelError(
                f"Its two halves could not be joined: {error.strerror or 'links cannot be made here'}."
            ) from None
    return folder


def _class_of(folder: Path) -> str | None:
    try:
        name = read_json(folder / "model_index.json").get("_class_name")
    except ModelError:
        return None
    return name if isinstance(name, str) else None
