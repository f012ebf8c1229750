"""One file a program. A new one is a file with `read(texts) -> Found | None` and a line below, before those whose texts
it also writes."""

from collections.abc import Callable

from studio.metadata.found import Found, Texts
from studio.metadata.programs import (
    a1111,
    civitai,
    comfyui,
    draw_things,
    fooocus,
    invokeai,
    novelai,
    stability_matrix,
    swarmui,
)

READERS: tuple[Callable[[Texts], Found | None], ...] = (
    invokeai.read,
    swarmui.read,
    novelai.read,
    draw_things.read,
    fooocus.read,
    stability_matrix.read,
    civitai.read,
    a1111.read,
    comfyui.read,
)
