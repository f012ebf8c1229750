"""The annotators that need weights: controlnet-aux's detectors and models of transformers, loaded from local files alone.

Pickled weights are read by torch's restricted loader; nothing is downloaded, and no code in a folder is run.
"""

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from studio import compat
from studio.annotators.ade20k import colours
from studio.annotators.plain import Pixels

MOST = 1024 * 1024  # pixels that a detector is given; its answer is enlarged to what was asked for
MULTIPLE = 64  # its sides: detectors fold the picture by as much

Detect = Callable[[Pixels, Path], Any]  # picture and folder of the weights -> an array or a picture


def annotate(name: str, picture: Pixels, folder: Path) -> Pixels:
    """The control image at the picture's size. Raises what the libraries raise."""
    import cv2

    height, width = picture.shape[:2]
    share = min(1.0, (MOST / (height * width)) ** 0.5)
    sides = [max(MULTIPLE, round(side * share / MULTIPLE) * MULTIPLE) for side in (width, height)]
    made = np.asarray(WEIGHTED[name](cv2.resize(picture, sides, interpolation=cv2.INTER_AREA), folder))
    if not np.isfinite(made).all():
        raise ValueError("the weights gave values that are not numbers")
    made = made.astype(np.uint8)
    made = np.repeat(made[..., None], 3, axis=2) if made.ndim == 2 else made[..., :3]
    how = cv2.INTER_NEAREST if name == "segmentation" else cv2.INTER_LINEAR
    return cv2.resize(made, (width, height), interpolation=how)


def _detector(module: str, cls: str, **options: Any) -> Detect:
    """A detector of controlnet-aux, which is asked for the picture's own size."""

    def detect(picture: Pixels, folder: Path) -> Any:
        found = getattr(_module(module), cls).from_pretrained(str(folder))
        side = min(picture.shape[:2])
        return found(picture, detect_resolution=side, image_resolution=side, output_type="np", **options)

    return detect


def _module(name: str) -> Any:
    """One module of controlnet-aux. The package itself imports all of them, which takes seconds and warns of each that lacks
    something, so an empty package takes its place."""
    compat.prepare()
    spec = importlib.util.find_spec("controlnet_aux")
    if spec is None:
        raise ImportError("the package controlnet-aux is not installed")
    package = types.ModuleType("controlnet_aux")
    package.__spec__, package.__path__ = spec, list(spec.submodule_search_locations or ())
    sys.modules.setdefault("controlnet_aux", package)
    return importlib.import_module(f"controlnet_aux.{name}")


def _leres(picture: Pixels, folder: Path) -> Any:
    sys.argv = sys.argv[:1]  # its loader parses the command line
    return _detector("leres", "LeresDetector")(picture, folder)


def depth(picture: Pixels, folder: Path) -> Any:
    """Any depth estimator that transformers knows by its folder; near is bright."""
    import torch

    processor, model = _transformers("AutoModelForDepthEstimation", folder / "depth")
    inputs = processor(images=_picture(picture), return_tensors="pt")
    with torch.inference_mode():
        found = model(**inputs).predicted_depth
    values = found.squeeze().float().numpy()
    if model.config.model_type in ("zoedepth", "depth_pro"):  # metres
        values = -values
    least, most = float(values.min()), float(values.max())
    return _fitted((values - least) / max(most - least, 1e-6) * 255, picture)


def segmentation(picture: Pixels, folder: Path) -> Any:
    """Any semantic segmenter that transformers knows by its folder, in the colours of ADE20K."""
    import torch

    processor, model = _transformers("AutoModelForSemanticSegmentation", folder / "segmentation")
    with torch.inference_mode():
        found = model(**processor(images=_picture(picture), return_tensors="pt"))
    labels = processor.post_process_semantic_segmentation(found, target_sizes=[picture.shape[:2]])[0]
    table = colours()
    return table[labels.numpy() % len(table)]


def _transformers(auto: str, folder: Path) -> tuple[Any, Any]:
    compat.prepare()
    import transformers

    options = {"local_files_only": True, "trust_remote_code": False}
    model = getattr(transformers, auto).from_pretrained(folder, use_safetensors=True, **options)
    return transformers.AutoImageProcessor.from_pretrained(folder, **options), model.eval()


def _picture(picture: Pixels) -> Any:
    from PIL import Image

    return Image.fromarray(picture)


def _fitted(values: Any, picture: Pixels) -> Any:
    import cv2

    return cv2.resize(values, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC).clip(0, 255)


WEIGHTED: dict[str, Detect] = {
    "softedge_hed": _detector("hed", "HEDdetector"),
    "softedge_pidinet": _detector("pidi", "PidiNetDetector"),
    "scribble_hed": _detector("hed", "HEDdetector", scribble=True),
    "scribble_pidinet": _detector("pidi", "PidiNetDetector", scribble=True),
    "lineart": _detector("lineart", "LineartDetector"),
    "lineart_coarse": _detector("lineart", "LineartDetector", coarse=True),
    "lineart_anime": _detector("lineart_anime", "LineartAnimeDetector"),
    "mlsd": _detector("mlsd", "MLSDdetector"),
    "openpose": _detector("open_pose", "OpenposeDetector"),
    "openpose_full": _detector("open_pose", "OpenposeDetector", include_hand=True, include_face=True),
    "depth_midas": _detector("midas", "MidasDetector"),
    "depth_zoe": _detector("zoe", "ZoeDetector"),
    "depth_leres": _leres,
    "depth": depth,
    "normal_bae": _detector("normalbae", "NormalBaeDetector"),
    "segmentation": segmentation,
}
