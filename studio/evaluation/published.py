"""FID, KID, Inception score, precision and recall by torch-fidelity, and CLIP score by torchmetrics: under these names only with
the published networks' weights. Nothing is downloaded; where something is missing, the sentence says what and where it is looked for.
"""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from studio.core.errors import ModelError

INCEPTION = "weights-inception-2015-12-05-6726825d.pth"  # as torch-fidelity publishes it
NAMES = {"fid": "fid", "kid": "kid", "is": "isc", "precision-recall": "prc"}  # ours -> torch-fidelity's switch
ROWS = {
    "fid": {"FID": "frechet_inception_distance"},
    "kid": {"KID": "kernel_inception_distance_mean", "KID deviation": "kernel_inception_distance_std"},
    "is": {"Inception score": "inception_score_mean", "Inception score deviation": "inception_score_std"},
    "precision-recall": {"precision": "precision", "recall": "recall"},
}
CLIP = "clip-score"


def places() -> tuple[Path, ...]:
    """The folders in which weights are looked for."""
    hub = Path(os.environ.get("TORCH_HOME", "~/.cache/torch")).expanduser() / "hub" / "checkpoints"
    return Path("models/evaluation"), hub


def missing(name: str) -> str | None:
    """What a metric lacks on this machine, as a sentence; None if it can be computed."""
    package, weights = ("torchmetrics", "clip") if name == CLIP else ("torch_fidelity", INCEPTION)
    lacks = []
    if importlib.util.find_spec(package) is None:
        lacks.append(f"the package {package.replace('_', '-')}")
    if _weights(weights) is None:
        what = "a CLIP model's folder named clip" if name == CLIP else f"the file {weights}"
        lacks.append(f"{what} in {' or '.join(_shown(folder) for folder in places())}")
    return f"{name} needs {' and '.join(lacks)}." if lacks else None


def _shown(folder: Path) -> str:
    return str(folder).replace(str(Path.home()), "~", 1)


def _weights(name: str) -> Path | None:
    return next((folder / name for folder in places() if (folder / name).exists()), None)


def inception(names: Sequence[str], made: Sequence[Image.Image], real: Sequence[Image.Image]) -> dict[str, float]:
    """The named metrics of `made` against `real`. Raises ModelError where something is missing."""
    for name in names:
        if lack := missing(name):
            raise ModelError(lack)
    import torch
    import torch_fidelity  # type: ignore[import-not-found, unused-ignore]

    with TemporaryDirectory() as folder:
        for split, pictures in (("made", made), ("real", real)):
            (Path(folder) / split).mkdir()
            for number, picture in enumerate(pictures):
                picture.convert("RGB").save(Path(folder) / split / f"{number:06d}.png")
        found: dict[str, Any] = torch_fidelity.calculate_metrics(
            input1=str(Path(folder) / "made"),
            input2=str(Path(folder) / "real"),
            cuda=torch.cuda.is_available(),
            feature_extractor="inception-v3-compat",
            feature_extractor_weights_path=str(_weights(INCEPTION)),
            kid_subset_size=min(1000, len(made), len(real)),
            verbose=False,
            **{NAMES[name]: True for name in names},
        )
    return {title: float(found[key]) for name in names for title, key in ROWS[name].items()}


def clip_score(pictures: Sequence[Image.Image], prompts: Sequence[str]) -> float:
    """The mean CLIP score (Hessel et al. 2021, as torchmetrics scales it). Raises ModelError where something is missing."""
    if lack := missing(CLIP):
        raise ModelError(lack)
    import numpy as np
    import torch
    from torchmetrics.multimodal import CLIPScore  # type: ignore[import-not-found, unused-ignore]

    metric = CLIPScore(model_name_or_path=str(_weights("clip")))
    for start in range(0, len(pictures), 32):
        part = [
            torch.from_numpy(np.asarray(p.convert("RGB")).copy()).permute(2, 0, 1) for p in pictures[start : start + 32]
        ]
        metric.update(part, list(prompts[start : start + 32]))
    return float(metric.compute())
