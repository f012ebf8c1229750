"""Which of diffusers' pipelines a folder may name: those that make an image from a prompt, and for the rest the true reason."""

import json
from pathlib import Path

import pytest

from studio.manager.disk.folders import read_folder
from studio.manager.families import generic_family, refusal

TAKEN = (
    "AuraFlowPipeline", "ChromaPipeline", "CogView4Pipeline", "Flux2Pipeline", "HunyuanDiTPipeline", "KolorsPipeline",
    "Kandinsky3Pipeline", "Lumina2Pipeline", "QwenImagePipeline", "SanaPipeline", "StableCascadeCombinedPipeline",
    "UnCLIPPipeline", "WuerstchenCombinedPipeline", "ZImagePipeline",
)  # fmt: skip
REFUSED = {
    "IFSuperResolutionPipeline": "enlarges or refines another model's picture",
    "StableDiffusionUpscalePipeline": "enlarges or refines another model's picture",
    "StableDiffusionLatentUpscalePipeline": "enlarges or refines another model's picture",
    "ZImageImg2ImgPipeline": "starts from more than a prompt",
    "FluxFillPipeline": "starts from more than a prompt",
    "FluxControlPipeline": "starts from more than a prompt",
    "StableDiffusionXLControlNetPipeline": "starts from more than a prompt",
    "StableDiffusionDepth2ImgPipeline": "starts from more than a prompt",
    "QwenImageEditPipeline": "starts from a picture",
    "StableDiffusionInstructPix2PixPipeline": "starts from a picture",
    "KandinskyV22PriorPipeline": "is the first half of a pair, and makes no picture without the second",
    "WanPipeline": "makes video",
    "SanaVideoPipeline": "makes video",
    "StableAudioPipeline": "makes sound",
    "ShapEPipeline": "makes shapes in space",
    "NoSuchPipeline": "is not a pipeline of the installed diffusers",
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_pipeline_that_makes_an_image_from_a_prompt_is_taken(name: str) -> None:
    family = generic_family(name, "transformer")
    assert family is not None
    assert family.pipelines == {"text_to_image": name}


@pytest.mark.parametrize("name", REFUSED)
def test_any_other_is_refused_with_what_it_does_instead(name: str) -> None:
    assert generic_family(name, "unet") is None
    assert refusal(name) == REFUSED[name]


def test_the_second_stage_of_a_cascade_is_listed_with_its_reason(tmp_path: Path) -> None:
    folder = tmp_path / "IF-II-L-v1.0"
    (folder / "scheduler").mkdir(parents=True)
    (folder / "scheduler/scheduler_config.json").write_text("{}")
    index = {"_class_name": "IFSuperResolutionPipeline", "scheduler": ["diffusers", "DDPMScheduler"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    problem = read_folder(folder, "IF-II").problem
    assert problem == (
        "IFSuperResolutionPipeline enlarges or refines another model's picture; what is used here makes an image from a "
        "prompt alone."
    )
