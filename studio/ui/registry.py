"""The registry of tabs: name -> `Tab`. A new tab is one file that registers itself and one name in the shell's order."""

from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr

from studio.core.protocol import Studio
from studio.core.registry import Registry


@dataclass(frozen=True)
class Tab:
    """`build(studio, page, tab)` draws the contents of `tab`, a part of the page's Blocks, and wires them."""

    title: str
    build: Callable[[Studio, gr.Blocks, gr.Tab], None]


TABS: Registry[Tab] = Registry("tab")
