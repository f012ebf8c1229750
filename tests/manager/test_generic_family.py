"""Which of diffusers' pipelines a folder may name: those that make an image from a prompt, and for the rest the true reason."""

from pathlib import Path

import pytest

from scripts import pipelines_table
from studio.manager.families import generic_family, refusal
from studio.manager.families.pipeline_table import accepts

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
    "AttentionStore": "is not a pipeline of the installed diffusers",
    "NoSuchPipeline": "is not a pipeline of the installed diffusers",
}


def test_a_pipeline_that_makes_an_image_from_a_prompt_is_taken() -> None:
    for name in TAKEN:
        family = generic_family(name)
        assert family is not None, name
        assert {task: call.pipeline for task, call in family.tasks.items()} == {"text_to_image": name}


def test_any_other_is_refused_with_what_it_does_instead() -> None:
    assert {name: refusal(name) for name in REFUSED} == REFUSED
    assert not any(map(generic_family, REFUSED))


def test_the_table_is_what_the_installed_diffusers_says(capsys: pytest.CaptureFixture[str]) -> None:
    status = pipelines_table.main(["--check"])
    assert status == 0, f"run python scripts/pipelines_table.py and read the difference:\n{capsys.readouterr().out}"


def test_a_row_that_differs_is_shown_as_it_is_and_as_it_ought_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = pipelines_table.FILE.read_text(encoding="utf-8")
    wrong = tmp_path / "pipelines.json"
    wrong.write_text(
        right.replace('"FluxPipeline": {', '"FluxPipeline": {"refused": "makes sound", '), encoding="utf-8"
    )
    monkeypatch.setattr(pipelines_table, "FILE", wrong)
    monkeypatch.setattr(pipelines_table, "table", lambda: right)
    was, ought = pipelines_table.differences()
    assert was.startswith('-    "FluxPipeline": {"refused": "makes sound"')
    assert ought.startswith('+    "FluxPipeline": {"takes"')


@pytest.mark.parametrize(
    ("pipeline", "parameter", "expected"),
    [
        ("StableDiffusionPipeline", "guidance_rescale", True),
        ("StableDiffusionImg2ImgPipeline", "guidance_rescale", False),
        ("StableDiffusionImg2ImgPipeline", "strength", True),
        ("NoSuchPipeline", "strength", False),
    ],
)
def test_whether_a_call_takes_a_parameter_is_known_of_refused_pipelines_too(
    pipeline: str, parameter: str, expected: bool
) -> None:
    assert accepts(pipeline, parameter) is expected


def test_a_parameter_that_the_table_leaves_out_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not say which pipelines take sigmas"):
        accepts("StableDiffusionPipeline", "sigmas")
