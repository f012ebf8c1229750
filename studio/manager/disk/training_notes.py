"""What a LoRA's file, and the notes beside it, say of its training: trigger words, base model, resolution, steps. Pure.

kohya-ss writes "ss_..." into the header's metadata, others Stability's "modelspec...."; a person's own notes beside the
file go before both. Every value is text that anybody may have written: it is bounded, and skipped where not understood.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from studio.manager.disk.safe_files import readable, shown

MOST_TAGS = 4 << 20  # letters of "ss_tag_frequency" that are read
MOST_TRIGGERS = 8
LONGEST = 80  # letters of a trigger
OFTEN = 0.8  # a tag that is at so many of the pictures calls up what was trained


def triggers_of(metadata: Mapping[str, str], noted: str) -> tuple[str, ...]:
    """The words that call up what was trained: those that were noted, else the header's, else its most frequent tags."""
    given = noted or metadata.get("modelspec.trigger_phrase", "")
    words = (
        given[:4000].split(",")
        if given.strip()
        else _frequent(metadata.get("ss_tag_frequency", ""), metadata.get("ss_num_train_images", ""))
    )
    clean = dict.fromkeys(readable(" ".join(word.split())) for word in words)
    return tuple(word for word in clean if word and len(word) <= LONGEST)[:MOST_TRIGGERS]


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
    size = re.search(
        r"(\d{2,5})\D+(\d{2,5})", metadata.get("ss_resolution") or metadata.get("modelspec.resolution") or ""
    )
    steps = metadata.get("ss_steps") or metadata.get("ss_max_train_steps") or ""
    name = shown(readable(" ".join(base.split())).rpartition("/")[2], 60) if base not in ("None", "") else ""
    said = [f"on {name}" if name else "", f"at {size[1]} × {size[2]}" if size else ""]
    where = " ".join(filter(None, said))
    counted = f"{int(steps):,} steps" if re.fullmatch("[1-9][0-9]{0,8}", steps) else ""
    facts = ", ".join(filter(None, (where, counted)))
    return f"Trained {facts}" if where else f"Trained for {facts}" if facts else ""
