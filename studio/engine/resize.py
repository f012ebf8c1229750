"""Brings a picture of any size to the size of a run."""

from PIL import Image, ImageOps


def resize(picture: Image.Image, size: tuple[int, int], how: str) -> Image.Image:
    """`picture` at `size` (width, height): "crop" keeps its middle, "pad" all of it on a blurred ground of its own colours,
    "stretch" changes its shape. One that has the size already comes back as it is."""
    if picture.size == size:
        return picture
    if how == "crop":
        return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    if how == "pad":
        inner = ImageOps.contain(picture, size, Image.Resampling.LANCZOS)
        ground = ImageOps.fit(picture, size, Image.Resampling.BOX).resize((8, 8)).resize(size, Image.Resampling.BICUBIC)
        ground.paste(inner, ((size[0] - inner.width) // 2, (size[1] - inner.height) // 2))
        return ground
    return picture.resize(size, Image.Resampling.LANCZOS)
