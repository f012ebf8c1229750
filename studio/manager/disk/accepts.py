"""Refuses before a run what a model's family would refuse in it, from the configurations of its folder. No torch."""

from pathlib import Path

from studio.core.models import ModelInfo
from studio.core.request import GenerationRequest
from studio.manager.disk.folder_parts import component_config, read_json
from studio.manager.families import family_for
from studio.manager.families.base import INDEX


def check_request(request: GenerationRequest, info: ModelInfo, path: Path) -> None:
    """Raises InvalidRequest, with its field, for what the model's family would refuse of a resolved request once it is
    loaded, as far as the configurations of its folder tell."""
    if not path.is_dir():
        return
    index = read_json(path / "model_index.json")
    family = family_for(info)
    configs = {family.denoiser: component_config(path, family.denoiser), INDEX: index}
    family.check(request, info.pipeline or "", configs)
