"""Writes trained models as diffusers does, so that `from_pretrained` reads them without our code.

`python -m studio.training.export RUN/model TARGET` ships one: a pipeline or a ControlNet as a folder in half precision, a
LoRA as a file; each with its card, and a pipeline with a better decoder if one was trained since.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from studio.core.errors import ModelError, StorageError, StudioError
from studio.training import checkpoint

if TYPE_CHECKING:
    from studio.training.backbones import Backbone

CARD = "unnoise.json"  # what the studio's catalog shows of the model


def stock_pipeline(
    backbone: "Backbone", model: Any, vae: Any, text_encoder: Any, tokenizer: Any, scheduler: Any
) -> Any:
    """The backbone's diffusers pipeline, without progress bars."""
    pipeline = backbone.pipeline(model, vae, text_encoder, tokenizer, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def file_hash(folder: Path) -> str:
    """A hash of the weights in a model folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def ship(model: Path, target: Path, vae: Path | None = None, card: dict[str, Any] | None = None) -> None:
    """Copy what was trained to `target`, whole or not at all; `vae` replaces a pipeline's own decoder.

    Raises ModelError if the model cannot be read or the decoder belongs to another encoder.
    """
    if (model / "model_index.json").is_file():
        _replace(target, lambda part: _write_pipeline(model, part, vae, card))
    elif (model / "config.json").is_file():
        _replace(target, lambda part: _write_controlnet(model, part, card))
    elif files := sorted(model.glob("*.safetensors")):
        file = target if target.suffix == ".safetensors" else target.with_name(f"{target.name}.safetensors")
        _replace(file, lambda part: part.write_bytes(files[0].read_bytes()))
        _write_card(file.with_suffix(f".{CARD}"), card)
    else:
        raise ModelError(f"There is no trained model to ship in {model.name!r}.")


def _replace(target: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a folder or file, and put it in the place of `target`."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(part, target)
    except OSError as error:
        raise StorageError(f"The model could not be written: {error.strerror}.") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
        part.unlink(missing_ok=True)
    checkpoint.sync(target.parent)


def _write_card(path: Path, card: dict[str, Any] | None) -> None:
    path.write_text(json.dumps(card or {}, indent=2) + "\n", encoding="utf-8")


def _write_pipeline(model: Path, part: Path, vae: Path | None, card: dict[str, Any] | None) -> None:
    from diffusers import AutoencoderTiny, DiffusionPipeline

    try:
        pipeline = DiffusionPipeline.from_pretrained(model, local_files_only=True)
        better = None if vae is None else AutoencoderTiny.from_pretrained(vae)
    except (OSError, ValueError):
        raise ModelError(f"The model in {model.name!r}, or the decoder for it, cannot be loaded.") from None
    if better is not None:
        _check_same_latents(pipeline.vae, better)
        pipeline.vae = better
    # Schedulers that clip, or end on a clean picture, by default would treat latents wrongly when built from this config.
    pipeline.scheduler.register_to_config(clip_sample=False, set_alpha_to_one=False)
    pipeline.to(dtype=torch.float16).save_pretrained(part, safe_serialization=True)
    for path in part.glob("tokenizer*"):  # their own files, for older libraries
        getattr(pipeline, path.name).backend_tokenizer.model.save(str(path))
    _tidy(part)
    _write_card(part / CARD, card)


def _write_controlnet(model: Path, part: Path, card: dict[str, Any] | None) -> None:
    from diffusers import ControlNetModel

    try:
        network = ControlNetModel.from_pretrained(model, local_files_only=True)
    except (OSError, ValueError):
        raise ModelError(f"The ControlNet in {model.name!r} cannot be loaded.") from None
    network.to(dtype=torch.float16).save_pretrained(part, safe_serialization=True)
    _tidy(part)
    _write_card(part / f"diffusion_pytorch_model.{CARD}", card)


def _tidy(folder: Path) -> None:
    """Remove where the model came from."""
    for path in folder.rglob("*.json"):
        values = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(values, dict) and values.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _check_same_latents(ours: Any, better: Any) -> None:
    mine, other = ours.encoder.state_dict(), better.encoder.state_dict()
    same = mine.keys() == other.keys() and all(torch.equal(mine[name], other[name]) for name in mine)
    if not same or ours.config.scaling_factor != better.config.scaling_factor:
        raise ModelError("The decoder was trained on the latents of another autoencoder.")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="studio.training.export", description="Ship what was trained, in fp16.")
    parser.add_argument("model", type=Path, help="the run's model folder")
    parser.add_argument("target", type=Path, help="where it goes, as models/starter/NAME")
    parser.add_argument("--vae", type=Path, help="folder of an autoencoder with the same encoder and a better decoder")
    parser.add_argument("--card", type=Path, help="JSON file with title, description and defaults")
    args = parser.parse_args(argv)
    from studio import compat

    compat.prepare()
    try:
        card = json.loads(args.card.read_text(encoding="utf-8")) if args.card else None
        ship(args.model, args.target, args.vae, card)
    except StudioError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (OSError, ValueError):
        print("error: The card is not a readable JSON file.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
