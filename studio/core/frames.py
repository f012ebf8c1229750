"""The kinds of frames that a run leaves behind for the film, in the order they are drawn. Engine, store, route and page
read this table; a new kind is a row here and a line in `engine.previews`."""

from dataclasses import dataclass

from studio.core.registry import Registry


@dataclass(frozen=True)
class FrameKind:
    name: str  # in addresses
    number: int  # in the frame store's files: never changed, never given to another
    title: str
    symbol: str  # as formulas write it
    help: str


FRAMES: Registry[FrameKind] = Registry("kind of frame")
X0 = FRAMES.add(
    "x0", FrameKind("x0", 0, "Predicted x0", "0", "What the model takes the finished picture to be, at this step")
)
XT = FRAMES.add("xt", FrameKind("xt", 1, "x_t", "t", "The noisy picture that this step worked on"))
