"""Unnoise: a diffusion studio that shows its working.

    from studio import GenerationRequest, Studio

    with Studio() as studio:
        [picture] = studio.generate(GenerationRequest(prompt="a large red heart", steps=20))
        picture.save("heart.png")

Importing the package imports nothing else; each name is looked up when it is first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from studio.core.request import GenerationRequest
    from studio.core.settings import Settings
    from studio.studio import Studio

__version__ = "0.2.0"
__all__ = ["GenerationRequest", "Settings", "Studio"]

_HOMES = {
    "GenerationRequest": "studio.core.request",
    "Settings": "studio.core.settings",
    "Studio": "studio.studio",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'studio' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
