"""The process that runs one annotator: `python -m studio.annotators.child` reads what to do from standard input, a line of
JSON, writes the control image to the file that it names, and says on standard output how that ended.

Ends at once when the process that started it does. Depends on no store, no server and no model of ours.
"""

import contextlib
import json
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from studio.core.annotators import LONGEST_SHAPE, NONE, Annotation, control_size
from studio.core.pictures import opaque

NICE = 5


def main() -> int:
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints from now on goes to standard error
    sys.stdout = sys.stderr
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    with contextlib.suppress(OSError):
        os.nice(NICE)
    _bound_memory(task["memory"])
    try:
        annotate(Path(task["source"]), Path(task["target"]), Annotation(**task["asked"]), Path(task["folder"]))
        answer = {"problem": ""}
    except MemoryError:
        answer = {"problem": "it needs more memory than it may have"}
    except Exception as error:
        traceback.print_exc()
        answer = {"problem": _reason(error)}
    print(json.dumps(answer), file=output, flush=True)
    return 0


def annotate(source: Path, target: Path, asked: Annotation, folder: Path) -> None:
    """The control image of one picture, as a PNG."""
    import numpy as np
    from PIL import Image

    from studio.annotators.plain import PLAIN
    from studio.annotators.weighted import annotate as by_weights

    with Image.open(source) as opened:
        picture = of_sane_shape(opaque(opened), asked)
    picture = picture.resize(control_size(picture.size, asked), Image.Resampling.LANCZOS)
    pixels = np.asarray(picture)
    if asked.annotator in PLAIN:
        pixels = PLAIN[asked.annotator](pixels, asked)
    elif asked.annotator != NONE:
        pixels = by_weights(asked.annotator, pixels, folder)
    Image.fromarray(np.ascontiguousarray(pixels)).save(target, "PNG", compress_level=1)


def of_sane_shape(picture: Any, asked: Annotation) -> Any:
    """The middle of a picture that is many times longer than wide: annotators would enlarge it to its shorter side."""
    width, height = picture.size
    most = max(1, round(min(width, height) * LONGEST_SHAPE))
    if asked.resize == "stretch" or max(width, height) <= most:
        return picture
    left, top = max(0, width - most) // 2, max(0, height - most) // 2
    return picture.crop((left, top, min(width, left + most), min(height, top + most)))


def _bound_memory(most: int) -> None:
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _reason(error: Exception) -> str:
    """The first line of a library's message, without the folders of this machine."""
    if isinstance(error, RuntimeError) and "allocate" in str(error):
        return "it needs more memory than it may have"
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    words = [Path(word.strip("'\"")).name if "/" in word else word for word in line.split()]
    return " ".join(words)[:200].rstrip(".:")


def _end_with_parent() -> None:
    """The parent holds the other end of standard input; when it is gone, so is the reason to go on."""
    while sys.stdin.read(1):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
