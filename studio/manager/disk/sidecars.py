"""What lies beside a model's file and says what its header does not: notes of AUTOMATIC1111 and Civitai, previews.

    NAME.json            AUTOMATIC1111's notes: "description", "activation text", "sd version"
    NAME.civitai.info    the site's own answer, as its helpers keep it: "name", "trainedWords", "baseModel"
    NAME.yaml            CompVis' configuration, as AUTOMATIC1111 has it beside a model that predicts v: "parameterization"
    config.json          diffusers', beside weights that it named: an autoencoder's "scaling_factor"
    NAME.preview.png     a picture of it, or NAME.png, or of another image's suffix

Only words and numbers are taken, and what is not understood is skipped. What a header shows is never overruled.
"""

import io
import os
import re
from pathlib import Path
from typing import Any

from studio.core.errors import InvalidRequest, ModelError, NotFound, StorageError
from studio.core.models import ModelInfo
from studio.core.pictures import FORMATS, MAX_BYTES, decoding, read_header
from studio.manager.disk.header_view import Notes, family_of_base
from studio.manager.disk.names import LIBRARY_NAMES
from studio.manager.disk.safe_files import json_or_nothing, open_file, readable

SUFFIXES = (".json", ".civitai.info")
CONFIG, YAML = "config.json", ".yaml"
PREVIEWS = tuple(
    middle + suffix for middle in ("", ".preview") for suffix in (".png", ".jpg", ".jpeg", ".webp")
)  # after the name of a file, AUTOMATIC1111's way
PREDICTS_V = re.compile(rb"^[ \t]*parameterization:[ \t]*[\"']?v[\"']?[ \t]*(#.*)?\r?$", re.MULTILINE)
MAX_YAML = 64 << 10  # bytes
LONGEST = 500
SIDE = 384  # of a small preview


def sidecars_in(stem: str, names: frozenset[str]) -> list[str]:
    """Those of a file's sidecars that are among the `names` of its folder."""
    found = [stem + suffix for suffix in (*SUFFIXES, YAML) if stem + suffix in names]
    found += [CONFIG] if CONFIG in names and LIBRARY_NAMES.fullmatch(stem) else []
    return found + [preview for preview in [preview_in(stem, names)] if preview]


def preview_in(stem: str, names: frozenset[str]) -> str | None:
    """The name of a preview; None for a stem that is not text, which no page could ask for."""
    return next((stem + end for end in PREVIEWS if stem + end in names), None) if readable(stem) == stem else None


def preview_beside(stem: Path) -> str | None:
    """The same, for the path of a model without its suffix."""
    names = (stem.name + end for end in PREVIEWS)
    return preview_in(stem.name, frozenset(name for name in names if os.path.isfile(stem.with_name(name))))


def notes_beside(file: Path) -> Notes:
    rows = [json_or_nothing(file.with_name(file.stem + suffix)) for suffix in SUFFIXES]
    words = (row.get(key) for row in rows for key in ("baseModel", "sd version"))
    base = next((word for word in words if isinstance(word, str) and family_of_base(word)), "")
    lines = dict.fromkeys(readable(" ".join(line.split()))[:LONGEST] for row in rows for line in _lines(row))
    config = json_or_nothing(file.with_name(CONFIG)) if LIBRARY_NAMES.fullmatch(file.stem) else {}
    try:
        with open_file(file.with_suffix(YAML)) as opened:
            predicts_v = PREDICTS_V.search(opened.read(MAX_YAML)) is not None
    except (ModelError, OSError):
        predicts_v = False
    folders = f"{file.parent.parent.name}/{file.parent.name}"
    triggers = next(filter(None, map(_triggers, rows)), "")
    return Notes(base[:LONGEST], "\n".join(lines), predicts_v, config.get("scaling_factor"), folders, triggers)


def _lines(row: dict[str, Any]) -> list[str]:
    """The model's name and version where it is the site's answer; else a person's own notes. Then the trigger words."""
    model = row.get("model")
    named = [model.get("name"), row.get("name")] if isinstance(model, dict) else []
    title = " ".join(word for word in named if isinstance(word, str) and word)
    triggers = _triggers(row)
    plain = [] if title else [row.get("description"), row.get("notes")]
    lines = [title, *plain, f"Trigger words: {triggers}" if triggers else ""]
    return [line for line in lines if isinstance(line, str) and line.strip()]


def _triggers(row: dict[str, Any]) -> str:
    """The site's own, else the person's."""
    trained, words = row.get("trainedWords"), row.get("activation text")
    if isinstance(trained, list):
        words = ", ".join(word for word in trained if isinstance(word, str))
    return words if isinstance(words, str) else ""


def small_preview(info: ModelInfo, path: Path) -> bytes:
    """The preview beside a model as JPEG, of at most SIDE px a side, bounded in bytes and pixels before it is decoded.

    Raises NotFound where there is none, InvalidRequest where it is no picture.
    """
    from PIL import Image, ImageOps

    file = (path if path.is_dir() else path.parent) / (info.preview or "")
    try:
        if info.preview is None or not file.is_file():  # a pipe would never end
            raise NotFound("preview", info.title)
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise StorageError(f"The preview of {info.title} cannot be read: {error.strerror}.") from None
    header = read_header(data)
    try:
        with decoding.taking(header.width, header.height), Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            picture.draft("RGB", (SIDE, SIDE))
            upright = ImageOps.exif_transpose(picture)
            upright.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
            flat = upright.convert("RGBA")
    except Exception:  # Pillow's decoders raise nearly anything on damaged data
        raise InvalidRequest("The preview is damaged.") from None
    ground, out = Image.new("RGB", flat.size, "white"), io.BytesIO()
    ground.paste(flat, mask=flat.getchannel("A"))
    ground.save(out, "JPEG", quality=85)
    return out.getvalue()
