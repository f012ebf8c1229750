"""A film as a GIF or WebP: every step in its order, at one size, the last for longer."""

import io

import pytest
from PIL import Image

from studio.core.animation import FORMATS, LAST_MS, MOST, STEP_MS, animation


def jpeg(level: int, side: int = 32) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (level, 255 - level, 0)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_film_moves_from_the_first_step_to_the_last(kind: str) -> None:
    data = animation([(2, jpeg(250)), (0, jpeg(10, side=16)), (1, jpeg(130))], kind)
    with Image.open(io.BytesIO(data)) as film:
        assert (film.format or "").lower() == kind and film.n_frames == 3 and film.size == (32, 32)
        for step, level in enumerate((10, 130, 250)):
            film.seek(step)
            film.load()
            red, green, _ = film.convert("RGB").getpixel((16, 16))
            assert abs(red - level) < 12 and abs(green - 255 + level) < 12
            assert film.info["duration"] == (LAST_MS if step == 2 else STEP_MS)


def test_of_a_long_run_the_first_and_last_step_are_there() -> None:
    frames = [(step, jpeg(step * 97 % 250, side=8)) for step in range(MOST + 60)]
    with Image.open(io.BytesIO(animation(frames, "gif"))) as film:
        assert film.n_frames == MOST
