"""What a model's pipeline and scheduler accept of a request, read from configurations: for the catalog, so that what a
run would refuse is refused beforehand. No torch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.core.models import ModelInfo
from studio.core.request import GenerationRequest
from studio.manager.disk.folder_parts import component_config, read_json
from studio.manager.families import Family, family_for, pipeline_table
from studio.manager.families.base import INDEX

# Pipelines that put `skip_prk_steps` right where a scheduler's configuration says False.
MENDING = frozenset({"StableDiffusionInpaintPipeline"})


def pipeline_class_for(family: Family, variant: str, named: str | None) -> str | None:
    """The pipeline class that makes a picture from a prompt; `named` is the one that the model's folder names."""
    tasks = family.pipelines
    if (stand_in := family.stand_ins.get(variant)) in tasks:
        return tasks[stand_in]
    if named in family.alternatives:
        return named
    return tasks.get("text_to_image") or next(iter(tasks.values()), named)


def accepts(family: Family, variant: str, named: str | None, scheduler: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of ModelInfo, as they are explained there; `scheduler` is the model's own scheduler configuration."""
    pipeline = pipeline_class_for(family, variant, named) or ""
    mended = pipeline in MENDING and "skip_prk_steps" in scheduler  # a default that is put right is a default again
    return {
        "rescale": pipeline_table.accepts(pipeline, "guidance_rescale"),
        "zero_snr": bool(scheduler.get("rescale_betas_zero_snr")),
        # One step cannot start at noise and end above zero.
        "fewest_steps": 2 if scheduler.get("shift_terminal") else 1,
        "runge_kutta": not (scheduler.get("skip_prk_steps") or mended),
    }


def check_request(request: GenerationRequest, info: ModelInfo, path: Path) -> None:
    """Raises InvalidRequest, with its field, for what the model's family would refuse of a resolved request once it is
    loaded, as far as the configurations of its folder tell."""
    if not path.is_dir():
        return
    index = read_json(path / "model_index.json")
    family = family_for(info)
    configs = {family.denoiser: component_config(path, family.denoiser), INDEX: index}
    family.check(request, info.pipeline or "", configs)
