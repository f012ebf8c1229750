"""Out of memory, a run takes one fallback after another, keeps what is done, notes them in its recipe, and begins with them next time."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio import compat
from studio.core.errors import OutOfMemory
from studio.core.options import find_model, resolve
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from tests.models import tiny_models
from tests.sweeps import one_in

compat.prepare()
import torch  # noqa: E402

from studio.engine.generate import Result, generate  # noqa: E402
from studio.engine.replay import replay  # noqa: E402
from studio.engine.tap import TapStep  # noqa: E402
from studio.manager.loading import is_out_of_memory  # noqa: E402
from studio.manager.manager import Loaded, Manager  # noqa: E402
from studio.manager.memory import estimate  # noqa: E402
from studio.manager.memory.estimate import Shape, folder_weights  # noqa: E402
from studio.manager.memory.fallbacks import Fallbacks, fallbacks_for  # noqa: E402

ON_THE_CPU = "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"
NO_MEMORY = [torch.OutOfMemoryError("CUDA out of memory."), MemoryError(), RuntimeError(ON_THE_CPU)]
STEPS = 3


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    tiny_models.stable_diffusion(root / "sd", vae="kl")
    tiny_models.stable_diffusion(root / "other", seed=4, vae="kl")
    return root


@pytest.fixture
def manager(models: Path, tmp_path: Path) -> Manager:
    return Manager(Settings(models=(models,), outputs=tmp_path, device="cpu"))


@contextmanager
def failing(
    module: Any, name: str, fits: Callable[..., bool], error: BaseException = NO_MEMORY[2]
) -> Iterator[list[bool]]:
    """`module.<name>` finds no memory unless `fits` says so; yields whether each call fitted."""
    original, fitted = getattr(module, name), []

    def call(*args: Any, **kwargs: Any) -> Any:
        fitted.append(fits(*args, **kwargs))
        if not fitted[-1]:
            raise error
        return original(*args, **kwargs)

    setattr(module, name, call)
    try:
        yield fitted
    finally:
        delattr(module, name)


def after(failures: int) -> Callable[..., bool]:
    """Fits from the call on that follows so many failures."""
    calls = iter(range(10**6))
    return lambda *args, **kwargs: next(calls) >= failures


@contextmanager
def leased(
    manager: Manager, *, dtype: str = "fp32", channels_last: bool = False, **values: Any
) -> Iterator[tuple[GenerationRequest, Loaded]]:
    info = find_model(manager.catalog.models(), "sd")
    request = resolve(GenerationRequest(model="sd", prompt="a red heart", steps=STEPS, seed=5, **values), info)
    with manager.lease(info, dtype, request=request, channels_last=channels_last) as loaded:
        yield request, loaded


def have_in_memory(manager: Manager, name: str) -> None:
    with manager.lease(find_model(manager.catalog.models(), name), "fp32"):
        pass


def run(request: GenerationRequest, loaded: Loaded, steps: list[TapStep] | None = None) -> list[Result]:
    return list(generate(request, loaded, on_step=(steps if steps is not None else []).append))


def pixels(results: list[Result]) -> list[str | None]:
    return [result.recipe.pixels for result in results]


def largest_gap(one: Result, other: Result) -> int:
    return int(np.abs(np.asarray(one.image, dtype=int) - np.asarray(other.image, dtype=int)).max())


@pytest.mark.parametrize(
    ("where", "error"),
    one_in(2, ((where, error) for where in ("vae", "unet") for error in NO_MEMORY)),
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_making_way_changes_no_pixel_and_throws_nothing_away(where: str, error: Exception, manager: Manager) -> None:
    with leased(manager) as (request, loaded):
        expected = run(request, loaded)
    have_in_memory(manager, "other")
    with leased(manager) as (request, loaded):
        steps: list[TapStep] = []
        module, name = loaded.components[where], {"vae": "_decode", "unet": "forward"}[where]
        with failing(module, name, after(1), error) as fitted:
            made = run(request, loaded, steps)
    assert pixels(made) == pixels(expected)
    assert made[0].recipe.notes == ("evicted other models",)
    assert [step.index for step in steps] == list(range(STEPS))  # each step once: nothing was begun again
    assert len(fitted) == {"vae": 1, "unet": STEPS}[where] + 1
    assert manager.memory().models == ("sd",)


def test_a_decoder_that_finds_no_memory_decodes_the_same_latents_in_tiles(manager: Manager) -> None:
    with leased(manager) as (request, loaded):
        (expected,) = run(request, loaded)
        vae, steps = loaded.components["vae"], []
        own = vae.tile_latent_min_size
        with failing(vae, "_decode", lambda *a, **k: vae.use_tiling) as fitted:
            (result,) = run(request, loaded, steps)
        assert fitted == [False, True]
        assert result.recipe.notes == ("decoded in tiles",)
        assert len(steps) == STEPS
        assert 0 < largest_gap(result, expected) < 128  # tiles are blended: near, and not the same
        assert (vae.use_tiling, vae.tile_latent_min_size) == (False, own)
    with leased(manager) as (request, loaded):  # the next run of the shape begins with tiles
        vae = loaded.components["vae"]
        with failing(vae, "_decode", lambda *a, **k: vae.use_tiling) as fitted:
            run(request, loaded)
        assert fitted == [True]


def test_a_replay_takes_the_same_fallbacks_or_names_them(manager: Manager) -> None:
    manager.set_budget(1 << 30)
    with leased(manager) as (request, loaded):
        vae = loaded.components["vae"]
        with failing(vae, "_decode", lambda *a, **k: vae.use_tiling):
            (tiled,) = run(request, loaded)
    listed = manager.catalog.models()
    assert replay(tiled.recipe, manager, listed).verdict == "bit-identical"
    manager.set_budget(1 << 31)  # with more memory it begins without them
    assert "notes: was decoded in tiles, is none" in replay(tiled.recipe, manager, listed).verdict


def test_a_picture_no_larger_than_a_tile_is_cut_into_smaller_ones(manager: Manager) -> None:
    with leased(manager, width=32, height=32) as (request, loaded):
        vae = loaded.components["vae"]
        assert vae.tile_sample_min_size == 32
        with failing(vae.decoder, "forward", lambda z, *a, **k: z.shape[-1] <= 8):
            (result,) = run(request, loaded)
        assert result.recipe.notes == ("decoded in tiles",)
        assert vae.tile_sample_min_size == 32


def test_a_batch_that_cannot_be_decoded_together_is_decoded_one_by_one(manager: Manager) -> None:
    with leased(manager, count=2, batch_size=2) as (request, loaded):
        expected = run(request, loaded)
        vae, steps = loaded.components["vae"], []
        with failing(vae.decoder, "forward", lambda z, *a, **k: len(z) == 1):
            made = run(request, loaded, steps)
        assert len(steps) == STEPS
        assert made[1].recipe.notes == ("decoded image by image",)
        assert max(largest_gap(a, b) for a, b in zip(made, expected, strict=True)) <= 1
        assert not vae.use_slicing


def test_the_denoiser_goes_while_decoding_and_comes_back(manager: Manager) -> None:
    with leased(manager, count=2) as (request, loaded):
        unet, vae, steps = loaded.components["unet"], loaded.components["vae"], []
        with failing(vae, "_decode", lambda *a, **k: unet.conv_in.weight.is_meta):
            made = run(request, loaded, steps)
        assert len(steps) == 2 * STEPS
        assert "unloaded the denoiser while decoding" in made[0].recipe.notes
        assert not any(parameter.is_meta for parameter in unet.parameters())
    assert "unet" in {name for name, _ in manager.resident()}


def fallbacks_of_a_device(loaded: Loaded, taken: tuple[str, ...] = ()) -> Fallbacks:
    """Those that a model has on an accelerator, with nothing to evict, stream or unload."""
    found = fallbacks_for(
        loaded.components["vae"],
        Shape(128, 128),
        torch.device("cuda"),
        idle=lambda: False,
        evict=lambda: None,
        movable=lambda: False,
        stream=lambda: None,
        release=lambda stack: None,
    )
    return Fallbacks(found, taken)


def test_at_last_the_decoder_goes_to_the_cpu_and_comes_back(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """The moves are asked for and the same picture comes; that they free an accelerator cannot be seen here."""
    with leased(manager) as (request, loaded):
        vae, moves = loaded.components["vae"], []
        monkeypatch.setattr(vae, "to", lambda where: moves.append(str(where)))
        on_a_device = replace(loaded, fallbacks=fallbacks_of_a_device(loaded))
        steps: list[TapStep] = []
        with failing(vae, "_decode", lambda *a, **k: moves[-1:] == ["cpu"]) as fitted:
            (result,) = run(request, on_a_device, steps)
        assert fitted == [False, False, True]  # as it stands, in tiles, on the CPU
        assert moves == ["cpu", "cuda"]
        assert result.recipe.notes == ("decoded in tiles", "decoded on the CPU")
        assert len(steps) == STEPS
        monkeypatch.undo()


def test_a_batch_that_finds_no_memory_is_made_one_by_one_with_the_same_noise(manager: Manager) -> None:
    with leased(manager, count=4, batch_size=2) as (request, loaded):
        expected = run(request, loaded)
        unet, steps = loaded.components["unet"], []
        batches = after(STEPS)
        with failing(unet, "forward", lambda sample, *a, **k: len(sample) <= 2 or not batches()):
            made = run(request, loaded, steps)  # the first two together, as long as there was memory
        assert [result.seed for result in made] == [5, 6, 7, 8]
        assert [result.recipe.notes for result in made] == [(), ()] + 2 * [("denoised one image at a time",)]
        assert max(largest_gap(a, b) for a, b in zip(made, expected, strict=True)) <= 1
        assert Counter(step.images for step in steps) == {(0, 1): STEPS, (2,): STEPS, (3,): STEPS}
    with leased(manager, count=1) as (request, loaded):
        (alone,) = run(request, loaded)
    assert alone.recipe.notes == ()  # another shape, no fallback


@pytest.mark.parametrize(
    "how", one_in(2, [{}, {"dtype": "bf16", "channels_last": True}]), ids=["fp32", "bf16 channels_last"]
)
def test_a_denoiser_that_finds_no_memory_is_streamed_from_where_it_stood(how: Any, manager: Manager) -> None:
    with leased(manager, count=2, **how) as (request, loaded):
        expected = run(request, loaded)
    with leased(manager, count=2, **how) as (request, loaded):
        unet, steps = loaded.components["unet"], []
        fits = after(1)
        with failing(unet, "forward", lambda *a, **k: unet.conv_in.weight.is_meta or not fits()):
            made = run(request, loaded, steps)  # the first step fits, the second does not
        assert pixels(made) == pixels(expected)
        assert [step.index for step in steps] == 2 * list(range(STEPS))
        assert made[0].recipe.notes == ("streamed the denoiser's weights",)
        assert made[0].recipe.memory_format == expected[0].recipe.memory_format
    with leased(manager, count=2, **how) as (request, loaded):
        assert not any(parameter.is_meta for parameter in loaded.components["unet"].parameters())
        assert pixels(run(request, loaded)) == pixels(expected)


def test_a_model_that_was_pinned_is_there_again_after_it_was_streamed(manager: Manager) -> None:
    with leased(manager) as (request, loaded):
        manager.pin(loaded.info, True)
        unet = loaded.components["unet"]
        with failing(unet, "forward", lambda *a, **k: unet.conv_in.weight.is_meta):
            run(request, loaded)
    assert manager.memory().models == manager.memory().pinned == ("sd",)


def test_after_the_last_the_error_says_what_it_takes_and_what_was_tried(manager: Manager) -> None:
    tried = r"To denoise takes unet \d+ [KM]iB .*working memory \d+ MiB = .*; the memory budget is .* are free\."
    with leased(manager) as (request, loaded):
        with (
            failing(loaded.components["unet"], "forward", lambda *a, **k: False),
            pytest.raises(OutOfMemory, match=tried + " Tried without success: streamed the denoiser's weights"),
        ):
            run(request, loaded)
        assert run(request.model_copy(update={"seed": 6}), loaded)  # and the next good run works
    with leased(manager, width=160) as (request, loaded):
        with (
            failing(loaded.components["vae"], "_decode", lambda *a, **k: False),
            pytest.raises(OutOfMemory, match=r"To decode takes vae .*: decoded in tiles, unloaded the denoiser"),
        ):
            run(request, loaded)
        assert not any(parameter.is_meta for parameter in loaded.components["unet"].parameters())
    with leased(manager, width=160) as (request, loaded):  # what did not help is not kept
        assert loaded.fallbacks.taken == ()


def test_pictures_made_before_the_end_are_handed_out(manager: Manager) -> None:
    with leased(manager, count=3) as (request, loaded):
        made = []
        with (
            failing(loaded.components["vae"], "_decode", lambda *a, **k: len(made) < 2),
            pytest.raises(OutOfMemory),
        ):
            for result in generate(request, loaded):
                made.append(result)
        assert [result.index for result in made] == [0, 1]


def test_fallbacks_are_remembered_while_there_is_no_more_memory_than_then(manager: Manager) -> None:
    manager.set_budget(1 << 30)
    with leased(manager) as (request, loaded):
        vae = loaded.components["vae"]
        with failing(vae, "_decode", lambda *a, **k: vae.use_tiling):
            run(request, loaded)
    for budget, kept in ((1 << 30, ("tile",)), (1 << 29, ("tile",)), (1 << 31, ())):
        manager.set_budget(budget)
        with leased(manager) as (_, loaded):
            assert loaded.fallbacks.taken == kept


def test_what_is_found_elsewhere_begins_the_batch_again(manager: Manager) -> None:
    have_in_memory(manager, "other")
    with leased(manager) as (request, loaded):
        with failing(loaded.components["text_encoder"], "forward", after(1)):
            (made,) = run(request, loaded)
        assert made.recipe.notes == ("evicted other models",)


def test_other_errors_take_no_fallback(manager: Manager) -> None:
    with leased(manager) as (request, loaded):
        wrong = RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)")
        with (
            failing(loaded.components["unet"], "forward", after(9), wrong) as fitted,
            pytest.raises(RuntimeError, match="cannot be multiplied"),
        ):
            run(request, loaded)
        assert (fitted, loaded.fallbacks.taken) == ([False], ())
    assert not is_out_of_memory(OutOfMemory("the budget's own word"))


@pytest.fixture
def staged(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manager:
    """A manager whose budget holds the largest part and little more, so that models run stage by stage."""
    monkeypatch.setattr(estimate, "working_bytes", lambda traced, device: 1000)
    weights = folder_weights(models / "sd")
    largest = max(4 * w.elements for w in weights.values())
    return Manager(
        Settings(models=(models,), outputs=tmp_path / "staged", device="cpu", memory_budget=largest + (64 << 10))
    )


def test_a_run_stage_by_stage_takes_fallbacks_as_well(manager: Manager, staged: Manager) -> None:
    with leased(manager, count=2) as (request, loaded):
        expected = run(request, loaded)
    with leased(staged, count=2) as (request, loaded):
        assert not loaded.whole
        unet, vae = loaded.components["unet"], loaded.components["vae"]
        with (
            failing(unet.mid_block, "forward", lambda *a, **k: unet.conv_out.weight.is_meta) as forwards,
            failing(vae.decoder, "forward", after(1)) as decodings,
        ):
            made = run(request, loaded)
        assert forwards.count(False) == 1  # the second picture comes back to a denoiser that is streamed
        assert decodings.count(False) == 1
        assert made[0].recipe.notes == ("decoded in tiles", "streamed the denoiser's weights")
        assert max(largest_gap(a, b) for a, b in zip(made, expected, strict=True)) < 128
    assert staged.residency.held() <= staged.budget()


def test_run_stage_by_stage_the_decoder_comes_before_it_is_moved(
    staged: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    with leased(staged) as (request, loaded):
        vae, moves = loaded.components["vae"], []
        monkeypatch.setattr(vae, "to", lambda where: moves.append((str(where), vae.decoder.conv_in.weight.is_meta)))
        fallbacks = fallbacks_of_a_device(loaded, taken=("cpu_decode",))  # as remembered from a run before
        (result,) = run(request, replace(loaded, fallbacks=fallbacks))
        assert moves == [("cpu", False), ("cuda", False)]
        assert result.recipe.notes == ("decoded on the CPU",)
        monkeypatch.undo()


def test_a_bad_allocation_is_met_as_such(manager: Manager) -> None:
    """The real thing: PyTorch's allocator asked for more than there is."""
    with leased(manager) as (request, loaded):
        vae = loaded.components["vae"]

        def fits(*_: Any, **__: Any) -> bool:
            if not vae.use_tiling:
                torch.empty(1 << 50)
            return True

        with failing(vae, "_decode", fits):
            (result,) = run(request, loaded)
    assert "decoded in tiles" in result.recipe.notes
