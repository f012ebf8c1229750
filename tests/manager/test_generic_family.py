"""Which of diffusers' pipelines a folder may name: those that make an image from a prompt, and for the rest the true reason."""

import pytest

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
    "Cosmos2TextToImagePipeline": "is not made without NVIDIA's guardrail, a package and models of its own",
    "WanPipeline": "makes video",
    "SanaVideoPipeline": "makes video",
    "StableAudioPipeline": "makes sound",
    "ShapEPipeline": "makes shapes in space",
    "NoSuchPipeline": "is not a pipeline of the installed diffusers",
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_pipeline_that_makes_an_image_from_a_prompt_is_taken(name: str) -> None:
    family = generic_family(name)
    assert family is not None
    assert family.pipelines == {"text_to_image": name}


@pytest.mark.parametrize("name", REFUSED)
def test_any_other_is_refused_with_what_it_does_instead(name: str) -> None:
    assert generic_family(name) is None
    assert refusal(name) == REFUSED[name]
