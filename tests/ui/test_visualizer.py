"""What the Visualizer asks of the studio: the tree of branches that a picture belongs to."""

from typing import Any

from studio.core.errors import NotFound
from studio.core.jobs import ImageView
from studio.core.parts.branch import Branch
from studio.core.request import GenerationRequest
from studio.ui.tabs.visualizer import relatives_of


def view(name: str, parent: str = "", step: int = 0, **values: Any) -> ImageView:
    parts = (Branch(image=digest(parent), step=step),) if parent else ()
    request = GenerationRequest(**({"prompt": "a star", "seed": 1} | values), parts=parts)
    shared = {
        "seed": 1,
        "width": 8,
        "height": 8,
        "path": "",
        "index": 0,
        "created": float(len(name)),
        "request": request,
    }
    return ImageView(id=name, job=f"job-{name}", sha256=digest(name), **shared)


def digest(name: str) -> str:
    return name[-1] * 64


class Archive:
    def __init__(self, *views: ImageView):
        self.views = {view.id: view for view in views}

    def image(self, name: str) -> ImageView:
        if name not in self.views:
            raise NotFound("image", name)
        return self.views[name]

    def images(self, **_: Any) -> list[ImageView]:
        return list(self.views.values())


def test_the_tree_is_the_same_from_each_of_its_pictures() -> None:
    first, left, right, deep = (
        view("a"),
        view("bb", "a", 4, prompt="a moon"),
        view("ccc", "a", 9),
        view("dddd", "bb", 6),
    )
    archive: Any = Archive(first, left, right, deep, view("e"))
    for name in ("a", "bb", "ccc", "dddd"):
        nodes = relatives_of(archive, name)["nodes"]
        assert [(node["id"], node["depth"], node["step"]) for node in nodes] == [
            ("a", 0, None),
            ("bb", 1, 4),
            ("dddd", 2, 6),
            ("ccc", 1, 9),
        ]
    assert [node["words"] for node in nodes] == ["a star", "a moon", "a star", "nothing changed"]
    assert len(relatives_of(archive, "e")["nodes"]) == 1


def test_a_branch_outlives_its_parent_and_one_that_changes_nothing_ends_the_tree() -> None:
    lone: Any = Archive(view("b", "a", 3), view("cc", "c", 2))
    assert [node["step"] for node in relatives_of(lone, "b")["nodes"]] == [None]
    assert len(relatives_of(lone, "cc")["nodes"]) == 1
    assert "problem" in relatives_of(lone, "unknown")
