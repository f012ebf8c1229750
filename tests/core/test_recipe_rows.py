"""A recipe in rows: the form's words, nothing that is not set, every title once."""

from studio.core.parts import PARTS
from studio.core.recipe import Recipe
from studio.core.recipe_rows import rows
from studio.core.request import GenerationRequest
from studio.core.tasks import ImageToImage


def recipe(**values: object) -> Recipe:
    request = GenerationRequest(
        **{"model": "m", "prompt": "a cat", "sampler": "euler", "width": 64, "height": 32} | values
    )
    ran = {"family": "sd1", "pipeline": "P", "scheduler": "S", "dtype": "fp32", "device": "cpu"}
    return Recipe(
        request=request,
        index=1,
        seed=8,
        model="m",
        model_title="M",
        weights={"unet": "a" * 64},
        libraries={"torch": "2"},
        **ran,
    )


def test_the_rows_speak_as_the_form_does() -> None:
    found = dict(rows(recipe(guidance_scale=7.5)))
    assert found["Prompt"] == "a cat"
    assert found["Sampler"] == "Euler"
    assert found["CFG"] == "7.5"
    assert found["Size"] == "64 × 32"
    assert found["Seed"] == "8"
    assert found["Weights of unet"] == "a" * 12
    assert "Negative prompt" not in found
    assert not {"Count", "Batch size", "Previews"} & set(found)


def test_tasks_and_parts_bring_their_own_rows() -> None:
    part = PARTS["lora"](model="style", weight=0.5)
    found = rows(
        recipe(task=ImageToImage(image="b" * 64, strength=0.25), parts=[part, part.model_copy(update={"weight": 2})])
    )
    titles = [title for title, _ in found]
    assert len(titles) == len(set(titles))
    assert ("Task", "Image to image") in found
    assert ("Strength", "0.25") in found
    assert ("Part 1, LoRA: Weight", "0.5") in found
    assert ("Part 2, LoRA: Weight", "2") in found
