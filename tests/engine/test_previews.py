"""Previews: quick, of the right size, and close to what the decoder would have shown."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from studio import compat

compat.prepare()

import torch  # noqa: E402
from torch import nn  # noqa: E402

from studio.engine import previews  # noqa: E402
from studio.engine.patch_map import ENOUGH_IMAGES, MOST_IMAGES, PatchMap, PatchMapLearner, fit_preview  # noqa: E402
from studio.engine.previews import FILE, Previewer, encode_jpeg, to_bytes  # noqa: E402
from studio.engine.tap import TapStep  # noqa: E402
from tests.engine.conftest import Studio  # noqa: E402


class LinearDecoder(nn.Module):
    """A decoder that is a 3x3 patch map exactly: what a fit must find."""

    def __init__(self, channels: int = 4, factor: int = 8):
        super().__init__()
        self.map = nn.Conv2d(channels, 3 * factor * factor, 3, padding=1)
        nn.init.normal_(self.map.weight, std=0.02)
        nn.init.normal_(self.map.bias, std=0.1)
        self.shuffle = nn.PixelShuffle(factor)

    def decode(self, z: torch.Tensor):
        class Output:
            sample = self.shuffle(self.map(z))

        return Output


def open_jpeg(data: bytes) -> PIL.Image.Image:
    picture = PIL.Image.open(io.BytesIO(data))
    picture.load()
    return picture


def tap_step(x: torch.Tensor, images: tuple[int, ...] = (0,)) -> TapStep:
    return TapStep(0, 1, images, 1.0, 1.0, 0.1, 0.1, x_t=x, x0=x, cond=None, uncond=None)


def jpegs_of(previewer: Previewer, step: TapStep) -> dict[str, list[bytes]]:
    frames: dict[str, list[bytes]] = {}
    for _, kind, _, jpeg in previewer.frames([step]):
        frames.setdefault(kind, []).append(jpeg)
    return frames


def test_steps_of_one_shape_and_of_several_are_drawn_in_their_order(studio: Studio) -> None:
    with studio.loaded("ddpm") as loaded:
        previewer = Previewer.for_model(loaded)
    steps = [tap_step(torch.zeros(n, 3, side, side), tuple(range(n))) for n, side in ((2, 8), (1, 8), (1, 16), (2, 8))]
    drawn = [
        (next(k for k, each in enumerate(steps) if each is step), kind, image)
        for step, kind, image, _ in previewer.frames(steps)
    ]
    assert drawn == [
        (k, kind, image) for k, n in enumerate((2, 1, 1, 2)) for kind in ("x0", "xt") for image in range(n)
    ]


def test_a_linear_decoder_is_found_exactly() -> None:
    torch.manual_seed(0)
    decoder = LinearDecoder()
    fitted = fit_preview(decoder, torch.randn(24, 4, 8, 8))
    z = torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        assert torch.allclose(fitted(z), decoder.decode(z).sample, atol=2e-2)


def test_a_maps_pixels_are_its_values_rounded() -> None:
    torch.manual_seed(0)
    some = PatchMap(torch.randn(3 * 16, 4, 3, 3) * 0.2, torch.randn(48) * 0.2)
    z = torch.randn(3, 4, 5, 7)
    expected = to_bytes(some(z)).int()
    assert some.pixels(z).shape == (3, 20, 28, 3)
    assert (some.pixels(z).int() - expected).abs().max() <= 1  # a tie may be rounded the other way
    assert (some.pixels(z).int() != expected).float().mean() < 0.001


def test_each_image_of_a_batch_gets_its_own_frames(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    with studio.loaded("ddpm") as loaded:
        previewer = Previewer.for_model(loaded)
    x = torch.stack([torch.full((3, 8, 8), value) for value in (-1.0, 0.0, 1.0)])
    for cells in (1, 2**14):  # mapped one by one, and all at once
        monkeypatch.setattr(previews, "CELLS", cells)
        frames = jpegs_of(previewer, replace(tap_step(x, (4, 5, 6)), x0=-x))
        assert [int(np.asarray(open_jpeg(jpeg)).mean().round()) for jpeg in frames["xt"]] == [0, 128, 255]
        assert [int(np.asarray(open_jpeg(jpeg)).mean().round()) for jpeg in frames["x0"]] == [255, 128, 0]
    assert jpegs_of(previewer, tap_step(torch.zeros(1, 7, 8, 8))) == {}


def test_a_map_survives_its_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    fitted = fit_preview(LinearDecoder(factor=4), torch.randn(8, 4, 8, 8))
    fitted.save(tmp_path / FILE)
    again = PatchMap.load(tmp_path / FILE)
    assert (again.factor, again.channels) == (4, 4)
    assert torch.equal(again.weight, fitted.weight)
    assert [p.name for p in tmp_path.iterdir()] == [FILE]


def test_learning_goes_on_over_runs_and_ends(tmp_path: Path) -> None:
    torch.manual_seed(0)
    decoder, path = LinearDecoder(), tmp_path / "maps" / "vae.safetensors"
    for _ in range(ENOUGH_IMAGES):
        learner = PatchMapLearner.open(path)
        assert learner.solve() is None
        z = torch.randn(1, 4, 8, 8)
        with torch.no_grad():
            learner.add(z, decoder.decode(z).sample)
    assert PatchMapLearner.open(path).solve() is not None
    learner = PatchMapLearner.open(path)
    learner.images = MOST_IMAGES
    assert not learner.wants_more


def test_a_damaged_file_of_sums_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "vae.safetensors").write_bytes(b"not a safetensors file")
    assert PatchMapLearner.open(tmp_path / "vae.safetensors").images == 0


def test_a_model_without_a_map_shows_its_familys_colours_and_learns_its_own(studio: Studio, tmp_path: Path) -> None:
    request = {"steps": 3, "sampler": "euler", "count": 4, "batch_size": 4}
    with studio.loaded("sd1") as loaded:
        previewer = Previewer.for_model(loaded, tmp_path)
        step: list[TapStep] = []
        decoded: list[torch.Tensor] = []

        def on_decode(latents: torch.Tensor, pixels: torch.Tensor) -> None:
            previewer.on_decode(latents, pixels)
            decoded.append(pixels)

        studio.run("sd1", callbacks={"on_step": step.append, "on_decode": on_decode}, **request)
        before = np.asarray(open_jpeg(jpegs_of(previewer, step[-1])["x0"][0]), dtype=float)
        learned = Previewer.for_model(loaded, tmp_path)
    after = np.asarray(open_jpeg(jpegs_of(learned, step[-1])["x0"][0]), dtype=float)
    truth = ((decoded[0][0].clamp(-1, 1) + 1) * 127.5).permute(1, 2, 0).numpy()
    assert before.shape == after.shape == (128, 128, 3)
    assert np.abs(after - truth).mean() < np.abs(before - truth).mean()


def test_a_map_beside_the_model_is_used(studio: Studio) -> None:
    path = studio.folder("pixart") / FILE
    PatchMap(torch.zeros(192, 4, 3, 3), torch.ones(192)).save(path)
    try:
        with studio.loaded("pixart") as loaded:
            white = open_jpeg(jpegs_of(Previewer.for_model(loaded), tap_step(torch.randn(1, 4, 16, 16)))["x0"][0])
    finally:
        path.unlink()
    assert np.asarray(white).min() >= 250


def test_pixel_models_are_shown_as_they_are(studio: Studio) -> None:
    with studio.loaded("ddpm") as loaded:
        picture = open_jpeg(jpegs_of(Previewer.for_model(loaded), tap_step(torch.zeros(1, 3, 16, 16)))["xt"][0])
    assert picture.size == (16, 16)
    assert abs(int(np.asarray(picture)[8, 8, 0]) - 128) <= 2


@pytest.mark.parametrize("sampler", ["euler", "ddim"])
def test_noisy_states_are_shown_at_the_datas_scale(studio: Studio, sampler: str) -> None:
    """A k-diffusion state of sigma 14 would be a saturated square; shown as the denoiser sees it, it is plain noise."""
    steps: list[TapStep] = []
    studio.run("sd1", callbacks={"on_step": steps.append}, sampler=sampler, steps=4)
    assert 0.8 < float((steps[0].x_t * steps[0].scale).std()) < 1.2


def test_a_frame_is_a_small_jpeg() -> None:
    data = encode_jpeg(np.zeros((128, 128, 3), np.uint8))
    assert data[:2] == b"\xff\xd8"
    assert len(data) < 2000
