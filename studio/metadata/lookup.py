"""Finds the models that another program's picture names among those at hand: by name, and by hash."""

import re
from collections.abc import Iterable

from studio.core.fields import shown
from studio.core.models import MODEL_KINDS, Kind, ModelInfo
from studio.metadata.found import File

# Ten digits (A1111's, of the whole file) or all of them. Twelve are of a LoRA without its header, and eight are A1111's
# first hash, of a piece of the file; neither can be compared.
_SHA256 = re.compile(r"(?:sha256:)?([0-9a-f]{10}|[0-9a-f]{64})")


def find(file: File, models: Iterable[ModelInfo], kinds: Iterable[Kind]) -> tuple[ModelInfo | None, str]:
    """The model of these kinds that the picture means, and one sentence if there is something to say of it.

    A file goes by its name; where several have it, or none, by its hash.
    """
    fitting = [each for each in models if each.kind in kinds and each.problem is None]
    named, digest = _named(file, fitting), _digest(file.hash)
    same = [each for each in fitting if digest and each.sha256 and each.sha256.startswith(digest)]
    both = [each for each in named if each in same]
    chosen = next(iter([*both, *([] if named else same), *(named if len(named) == 1 else [])]), None)
    if chosen is None:
        return None, _missing(file, named)
    return chosen, _remark(file, digest, chosen) if chosen not in same else ""


def model(file: File, models: Iterable[ModelInfo]) -> tuple[ModelInfo | None, str]:
    """The checkpoint or folder that made the picture."""
    found, sentence = find(file, models, MODEL_KINDS)
    return found, sentence.replace("{kind}", "model")


def part(file: File, models: Iterable[ModelInfo], kind: Kind, title: str) -> tuple[ModelInfo | None, str]:
    """The file of a part, such as a LoRA. Of its hash nothing is said where the name suffices."""
    found, sentence = find(file, models, (kind,))
    return found, "" if found else sentence.replace("{kind}", title)


def _named(file: File, models: list[ModelInfo]) -> list[ModelInfo]:
    """Those with exactly this id first; else those whose file or title has the name, whatever its case."""
    if exact := [each for each in models if each.id == file.name]:
        return exact
    wanted = {file.stem.lower(), file.name.lower()} - {""}
    return [each for each in models if {each.id.rsplit("/", 1)[-1].lower(), each.title.lower()} & wanted]


def _digest(hash: str) -> str:
    match = _SHA256.fullmatch(hash.strip().lower())
    return match[1] if match else ""


def _missing(file: File, named: list[ModelInfo]) -> str:
    hash = f" (hash {file.hash[:12]})" if file.hash else ""
    name = f" {shown(file.stem if file.stem else file.name)}" if file.name else ""
    if named:
        return f"Left out: the {{kind}}{name} could be any of {', '.join(each.id for each in named[:5])}."
    return f"Left out: the {{kind}}{name}{hash} is not here."


def _remark(file: File, digest: str, chosen: ModelInfo) -> str:
    if not file.hash:
        return ""
    if digest and chosen.sha256:
        return (
            f"{chosen.title} here is another file than the picture's {{kind}} of that name: its hash is {digest[:10]}."
        )
    return f"Not compared: the hash of its {{kind}}, {file.hash[:12]}."
