"""What the notes of people and trainers say of a model: files of AUTOMATIC1111 and Civitai beside it, previews, and the
metadata that kohya-ss ("ss_...") and Stability ("modelspec...") write into a LoRA's header.

    NAME.json            AUTOMATIC1111's notes: "description", "activation text", "sd version"
    NAME.civitai.info    the site's own answer, as its helpers keep it: "name", "trainedWords", "baseModel"
    NAME.yaml            CompVis' configuration, as AUTOMATIC1111 has it beside a model that predicts v: "parameterization"
    NAME.preview.png     a picture of it, or NAME.png, or of another image's suffix

Anybody may have written them: values are bounded, and skipped where not understood. What a header shows is never overruled.
"""

import io
import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.core.errors import InvalidRequest, ModelError, NotFound
from studio.core.models import ModelInfo
from studio.core.pictures import FORMATS, MAX_BYTES, decoding, read_header
from studio.manager.disk.header_view import Notes, family_of_base
from studio.manager.disk.safe_files import json_or_nothing, open_file, readable, shown

SUFFIXES = (".json", ".civitai.info")
YAML, MAX_YAML = ".yaml", 64 << 10  # bytes
PREDICTS_V = re.compile(rb"^[ \t]*parameterization:[ \t]*[\"']?v[\"']?[ \t]*(#.*)?\r?$", re.MULTILINE)
PREVIEWS = tuple(middle + suffix for middle in ("", ".preview") for suffix in (".png", ".jpg", ".jpeg", ".webp"))
LONGEST = 500
SIDE = 384  # of a small preview
MOST_TAGS = 4 << 20  # letters of "ss_tag_frequency" that are read
MOST_TRIGGERS = 8
LONGEST_TRIGGER = 80  # letters
OFTEN = 0.8  # a tag that is at so many of the pictures calls up what was trained


# ---- beside the file


def sidecars_in(stem: str, names: frozenset[str]) -> list[str]:
    """Those of a file's sidecars that are among the `names` of its folder."""
    return [stem + end for end in (*SUFFIXES, YAML, *PREVIEWS) if stem + end in names]


def preview_beside(stem: Path) -> str | None:
    """The name of a model's preview, from its path without the suffix; None where the name is not text, which no page could
    ask for."""
    names = (stem.name + end for end in PREVIEWS if readable(stem.name) == stem.name)
    return next((name for name in names if os.path.isfile(stem.with_name(name))), None)


def notes_beside(file: Path) -> Notes:
    rows = [json_or_nothing(file.with_name(file.stem + suffix)) for suffix in SUFFIXES]
    words = (row.get(key) for row in rows for key in ("baseModel", "sd version"))
    base = next((word for word in words if isinstance(word, str) and family_of_base(word)), "")
    lines = dict.fromkeys(readable(" ".join(line.split()))[:LONGEST] for row in rows for line in _lines(row))
    folders = f"{file.parent.parent.name}/{file.parent.name}"
    triggers = next(filter(None, map(_triggers, rows)), "")
    return Notes(base[:LONGEST], "\n".join(lines), folders, triggers, _predicts_v(file.with_suffix(YAML)))


def _predicts_v(configuration: Path) -> bool:
    try:
        with open_file(configuration) as opened:
            return PREDICTS_V.search(opened.read(MAX_YAML)) is not None
    except (ModelError, OSError):
        return False


def _lines(row: dict[str, Any]) -> list[str]:
    """The model's name and version where it is the site's answer; else a person's own notes. Then the trigger words."""
    model, triggers = row.get("model"), _triggers(row)
    named = [model.get("name"), row.get("name")] if isinstance(model, dict) else []
    title = " ".join(word for word in named if isinstance(word, str) and word)
    plain = [title] if title else [row.get("description"), row.get("notes")]
    lines = [*plain, f"Trigger words: {triggers}" if triggers else ""]
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

    try:
        with open_file((path if path.is_dir() else path.parent) / (info.preview or "")) as opened:
            data = opened.read(MAX_BYTES + 1)
    except (ModelError, OSError):
        raise NotFound("preview", info.title) from None
    header, out = read_header(data), io.BytesIO()
    try:
        with decoding.taking(header.width, header.height), Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            picture.draft("RGB", (SIDE, SIDE))
            upright = ImageOps.exif_transpose(picture)
            upright.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
            flat = upright.convert("RGBA")
    except Exception:  # Pillow's decoders raise nearly anything on damaged data
        raise InvalidRequest("The preview is damaged.") from None
    ground = Image.new("RGBA", flat.size, "white")
    Image.alpha_composite(ground, flat).convert("RGB").save(out, "JPEG", quality=85)
    return out.getvalue()


# ---- in a LoRA's header


def triggers_of(metadata: Mapping[str, str], noted: str) -> tuple[str, ...]:
    """The words that call up what was trained: those that were noted, else the header's, else its most frequent tags."""
    given = noted or metadata.get("modelspec.trigger_phrase", "")
    tags, pictures = metadata.get("ss_tag_frequency", ""), metadata.get("ss_num_train_images", "")
    words = given[:4000].split(",") if given.strip() else _frequent(tags, pictures)
    clean = dict.fromkeys(readable(" ".join(word.split())) for word in words)
    return tuple(word for word in clean if word and len(word) <= LONGEST_TRIGGER)[:MOST_TRIGGERS]


def _frequent(text: str, pictures: str) -> list[str]:
    """Of kohya's {"<repeats>_<folder>": {tag: count}} the tags that are at most of the pictures; of how many, repeats included,
    is in `pictures`. Where that cannot be known, those that are about as frequent as the most frequent one."""
    try:
        table: Any = json.loads(text) if 0 < len(text) <= MOST_TAGS else {}
    except (ValueError, RecursionError):
        return []
    counts: Counter[str] = Counter()
    counted = re.fullmatch("[1-9][0-9]{0,8}", pictures) is not None
    for folder, tags in table.items() if isinstance(table, dict) else ():
        repeats = re.match("([1-9][0-9]{0,3})_", folder)
        counted = counted and repeats is not None
        for tag, count in tags.items() if isinstance(tags, dict) else ():
            if type(count) is int and 0 < count < 10**9:
                counts[tag.strip()] += count * (int(repeats[1]) if repeats else 1)
    most = max(counts.values(), default=0)
    least = OFTEN * (max(most, int(pictures)) if counted else most)
    return [tag for tag, count in counts.most_common(MOST_TRIGGERS) if count >= least]


def training_of(metadata: Mapping[str, str]) -> str:
    """ "Trained on v1-5-pruned at 512 x 512, 1,200 steps", as far as the header says it."""
    base = metadata.get("ss_sd_model_name") or metadata.get("ss_base_model_version") or ""
    sides = metadata.get("ss_resolution") or metadata.get("modelspec.resolution") or ""
    size, steps = re.search(r"(\d{2,5})\D+(\d{2,5})", sides), metadata.get("ss_steps") or ""
    name = shown(readable(" ".join(base.split())).rpartition("/")[2], 60) if base not in ("None", "") else ""
    where = " ".join(filter(None, [f"on {name}" if name else "", f"at {size[1]} × {size[2]}" if size else ""]))
    counted = f"{int(steps):,} steps" if re.fullmatch("[1-9][0-9]{0,8}", steps) else ""
    facts = ", ".join(filter(None, (where, counted)))
    return f"Trained {facts}" if where else f"Trained for {facts}" if facts else ""
