"""Prompts in the prompt language, through stock pipelines of tiny models."""

import functools

import numpy as np
import pytest
import torch

from studio.core.errors import InvalidRequest
from studio.engine.conditioning import Conditioning
from studio.engine.text_encoding import Chunk, Encoder, _cuts, emphasised, row_weights
from tests.sweeps import one_in


def pixels(studio, name: str = "sd1", **values) -> np.ndarray:
    return np.asarray(studio.run(name, previews=False, **values)[0].image).astype(int)


@functools.cache
def bare(studio, name: str = "sd1", prompt: str = "a red heart") -> np.ndarray:
    """What the stock pipeline makes, with no conditioning of ours."""
    return pixels(studio, name, prompt=prompt, syntax="literal")


@pytest.mark.parametrize("name", ["sd1", "pixart"])
def test_a_plain_prompt_reaches_the_pipeline_unchanged(studio, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(Encoder, "encode", lambda *args: given.append(args))
    assert np.array_equal(pixels(studio, name), bare(studio, name))
    assert np.array_equal(pixels(studio, name, prompt=r"a \(red\) heart"), bare(studio, name, "a (red) heart"))
    assert given == []


@pytest.mark.parametrize("name", one_in(2, ["sd1", "pixart"]))
@pytest.mark.parametrize(
    "prompt", one_in(2, ["a (red:1.0) heart", "[a red heart:a blue star:1.0]", "[a red heart|a red heart]"])
)
def test_syntax_that_changes_nothing_changes_no_pixel(studio, name: str, prompt: str) -> None:
    assert np.array_equal(pixels(studio, name, prompt=prompt), bare(studio, name))


@pytest.mark.parametrize("name", one_in(2, ["pixart", "sd1"]))
def test_weights_and_schedules_change_the_picture_and_leave_nothing_behind(studio, name: str) -> None:
    plain = bare(studio, name)
    for prompt in (
        "a (red:1.5) heart",
        "[a red heart:a blue star:0.5]",
        "[red|blue] heart",
        "a red heart AND a star:0.5",
    ):
        assert not np.array_equal(pixels(studio, name, prompt=prompt), plain), prompt
    with studio.loaded(name) as loaded:
        denoiser = loaded.components[loaded.family.denoiser]
        assert not denoiser._forward_pre_hooks
        assert not denoiser._forward_hooks
    assert np.array_equal(pixels(studio, name), plain)


def test_a_schedule_is_the_second_prompt_from_its_step_on(studio) -> None:
    """As a callback of diffusers' own that changes the embeddings after a step."""
    assert np.array_equal(pixels(studio, prompt="[a red heart:a blue star:0]"), bare(studio, prompt="a blue star"))
    switched = pixels(studio, prompt="[a red heart:a blue star:3]")
    request = studio.request("sd1", prompt="a red heart")
    with studio.loaded("sd1") as loaded:
        from studio.engine.generate import prepare_pipeline

        pipeline = prepare_pipeline(request, loaded, [7])
        late = torch.cat(pipeline.encode_prompt("a blue star", "cpu", 1, True, "")[::-1])

        def after(pipe, step, timestep, kwargs):
            return {"prompt_embeds": late} if step == 2 else kwargs

        image = pipeline(
            "a red heart",
            negative_prompt="",
            num_inference_steps=6,
            guidance_scale=request.guidance_scale,
            width=request.width,
            height=request.height,
            generator=torch.Generator("cpu").manual_seed(7),
            callback_on_step_end=after,
        ).images[0]
    assert np.array_equal(switched, np.asarray(image).astype(int))


def test_and_is_the_sum_of_weighted_guidance(studio) -> None:
    """With one prompt twice at half weight each, it is that prompt; at twice the weight, twice the guidance."""
    twice = pixels(studio, prompt="a red heart :0.5 AND a red heart :0.5")
    assert np.abs(twice - bare(studio)).max() <= 1
    double = pixels(studio, prompt="a red heart AND a red heart", guidance_scale=3.0)
    assert np.abs(double - pixels(studio, guidance_scale=6.0)).max() <= 1


def test_a_long_prompt_is_read_in_chunks(studio) -> None:
    long = "red " * 30 + ", a star"  # the tiny encoder reads 22 tokens
    assert not np.array_equal(pixels(studio, prompt=long), bare(studio, prompt=long))
    assert not np.array_equal(pixels(studio, prompt="a BREAK b"), pixels(studio, prompt="a b"))


def test_a_batch_with_a_schedule_is_as_one_by_one(studio) -> None:
    given = {"prompt": "[a (red:1.3) heart:a star:0.5] AND moon:0.5", "count": 2, "previews": False}
    together = [np.asarray(each.image).astype(int) for each in studio.run("sd1", batch_size=2, **given)]
    alone = [np.asarray(each.image).astype(int) for each in studio.run("sd1", **given)]
    assert max(np.abs(a - b).max() for a, b in zip(together, alone, strict=True)) <= 1


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"prompt": "a AND b", "guidance_scale": 1.0}, "set CFG above 1"),
        ({"prompt": "a", "negative_prompt": "b AND c"}, "no meaning in a negative prompt"),
        ({"clip_skip": 9}, "has 2 layers"),
    ],
)
def test_what_has_no_meaning_is_refused_in_a_sentence(studio, values, sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        studio.run("sd1", **values)


def test_clip_skip_reads_an_earlier_layer(studio) -> None:
    assert not np.array_equal(pixels(studio, clip_skip=2), bare(studio))
    skipped = pixels(studio, clip_skip=2)
    assert np.array_equal(pixels(studio, clip_skip=2, prompt="a (red:1) [heart::1.0]"), skipped)


def test_a_model_that_reads_plain_text_says_that_weights_have_no_effect(studio, monkeypatch) -> None:
    monkeypatch.setattr("studio.engine.conditioning.FAMILIES", {})
    result = studio.run("sd1", prompt="a (red:1.5) heart")[0]
    assert any("weights and schedules have no effect" in note for note in result.recipe.notes)


def test_emphasis_multiplies_and_keeps_the_mean() -> None:
    embeds = torch.rand(1, 4, 8) + 0.5
    made = emphasised(embeds, torch.tensor([1.0, 1.5, 1.0, 1.0]))
    assert torch.isclose(made.mean(), embeds.mean())
    assert torch.allclose(made[0, 1] / made[0, 0], 1.5 * embeds[0, 1] / embeds[0, 0])
    assert torch.equal(emphasised(embeds, torch.ones(4)), embeds)


def test_tokens_have_the_weights_of_their_words(studio) -> None:
    with studio.loaded("sd1") as loaded:
        encoder = Encoder(loaded.pipeline(), "sd1", {})
        (chunk,) = encoder.chunks("a (red:1.5) heart")
        tokenizer = loaded.components["tokenizer"]
        weights = row_weights(tokenizer, chunk, 24)
        ids = tokenizer("a red heart").input_ids
        red = [n for n, weight in enumerate(weights) if weight == 1.5]
        assert tokenizer.decode([ids[n] for n in red]).strip() == "red"
        assert isinstance(chunk, Chunk)
    assert Conditioning is not None


def test_chunks_end_after_a_comma_that_is_near() -> None:
    text = "aa bb, cc dd ee"
    spans = [(0, 2), (3, 5), (5, 6), (7, 9), (10, 12), (13, 15)]
    assert [text[a:b] for a, b in _cuts(text, spans, 4)] == ["aa bb,", " cc dd ee"] or [
        text[a:b].strip() for a, b in _cuts(text, spans, 4)
    ] == ["aa bb,", "cc dd ee"]
