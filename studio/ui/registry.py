"""The registry of tabs: name -> `Tab`. A new tab is one file that registers itself and one name in the shell's order."""

from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr

from studio.core.protocol import Studio
from studio.core.registry import Registry
from studio.ui.mode import Mode

# What one does in a tab, in the order shown.
GROUPS = {"create": "Create", "guide": "Guide", "explore": "Explore", "train": "Train", "keep": "Keep"}


@dataclass(frozen=True)
class Tab:
    """A tab is either a `mode` of the shared workbench, or a page of its own that `build(studio, page)` draws and wires.

    `address` stands after "#" in the page's address.
    """

    title: str
    group: str
    address: str
    mode: Mode | None = None
    build: Callable[[Studio, gr.Blocks], None] | None = None

    def __post_init__(self) -> None:
        if self.group not in GROUPS:
            raise ValueError(f"{self.title}: {self.group!r} is not one of the groups {', '.join(GROUPS)}")
        if (self.mode is None) == (self.build is None):
            raise ValueError(f"{self.title}: a tab has either a mode or a page of its own")


TABS: Registry[Tab] = Registry("tab")
