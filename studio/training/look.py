"""A look at a data set before a run: counts, buckets, the first pictures as they are trained on, files that were left out.

Works on any data set; does not load torch.
"""

import base64
import io
from typing import Any

from PIL import Image

from studio.core.training import DataView, PictureView
from studio.training.config import DataConfig
from studio.training.datasets import datasets

FIRST = 24
BAD = 50  # names of files that were left out
SIDE = 160  # of a picture that is shown


def look(data: DataConfig) -> DataView:
    """Raises InvalidRequest where the data set cannot be made."""
    data = data.model_copy(update={"flip": False})  # the mirrored ones are not shown again
    found = datasets.get(data.name)(**data.options())
    count = len(found) if hasattr(found, "__len__") else None
    first = tuple(_shown(found, index) for index in range(min(FIRST, FIRST if count is None else count)))
    listing = getattr(found, "listing", None)
    if listing is None:
        return DataView(
            pictures=count, captioned=count or 0, buckets=((data.size, data.size, count or 0),), first=first
        )
    small = sum(entry.width * entry.height < data.size**2 for entry in listing.entries)
    return DataView(
        pictures=len(listing.entries),
        captioned=sum(bool(entry.captions) for entry in listing.entries),
        small=small,
        buckets=tuple((*shape, len(indices)) for shape, indices in found.buckets.items()),
        first=first,
        bad=listing.bad[:BAD],
        bad_count=len(listing.bad),
    )


def _shown(found: Any, index: int) -> PictureView:
    example = found[index]
    picture = Image.fromarray(example.image)
    width, height = picture.size
    picture.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85)
    data = base64.b64encode(out.getvalue()).decode()
    name = found.entries[index % len(found.entries)].name if hasattr(found, "entries") else ""
    return PictureView(
        name=name, caption=example.caption, picture=f"data:image/jpeg;base64,{data}", width=width, height=height
    )
