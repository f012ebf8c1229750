"""A ComfyUI graph to be walked upstream: nodes, the links between them, and values that have nodes of their own.

A walk visits each node once at most, so that the work is linear in the graph.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from studio.metadata.found import as_object, text

# Names of the inputs that one kind of thing comes in by, the nearest first; a node is also left by such inputs as begin with
# the last of them ("conditioning_1").
MODEL = ("model",)
POSITIVE = ("positive", "conditioning")
NEGATIVE = ("negative", "conditioning")
LATENT = ("latent_image", "samples", "latent")
Way = tuple[str, ...]

_WORDS = ("text", "prompt", "string", "value", "Text", "wildcard_text", "populated_text")
_PAIRS = (("text_g", "text_l"), ("t5xxl", "clip_l"))  # one prompt for each of two encoders
_VALUES = ("value", "Value", "int", "float", "number", "seed", "string", "text", "noise_seed")
_OUTPUTS = ("Save", "Preview")
_MAX_HOPS = 20  # of a value through nodes that hold it


@dataclass(frozen=True, eq=False)
class Node:
    id: str
    kind: str
    inputs: dict[str, Any]


class Graph:
    """Nodes by id; false where there are none."""

    def __init__(self, nodes: dict[str, Node]):
        self.nodes = nodes

    @classmethod
    def of(cls, data: dict[str, Any]) -> "Graph":
        """Of what a picture carries; empty where it is no graph."""
        rows = {key: as_object(value) for key, value in data.items() if isinstance(value, dict)}
        return cls(
            {
                key: Node(key, row["class_type"], as_object(row.get("inputs")))
                for key, row in rows.items()
                if isinstance(row.get("class_type"), str)
            }
        )

    def __bool__(self) -> bool:
        return bool(self.nodes)

    def node(self, node: Node, name: str) -> Node | None:
        """What is linked to an input."""
        return self._linked(node.inputs.get(name))

    def _linked(self, link: Any) -> Node | None:
        """A link is [id, number of the output]."""
        if isinstance(link, list) and len(link) == 2 and isinstance(link[0], str | int):
            return self.nodes.get(str(link[0]))
        return None

    def value(self, node: Node, name: str) -> Any:
        """What an input is set to, through nodes that only hold a value; None if it is linked to anything else."""
        value = node.inputs.get(name)
        for _ in range(_MAX_HOPS):
            if not isinstance(value, list):
                return value if isinstance(value, str | int | float) else None
            holder = self._linked(value)
            if holder is None:
                return None
            value = next((holder.inputs[key] for key in (name, *_VALUES) if key in holder.inputs), None)
        return None

    def upstream(self, node: Node, way: Way) -> Iterator[Node]:
        """The nodes that something comes from, nearest first; `node` itself is none of them."""
        seen, waiting = {node.id}, self._before(node, way)
        for each in waiting:
            if each.id not in seen:
                seen.add(each.id)
                yield each
                waiting += self._before(each, way)

    def _before(self, node: Node, way: Way) -> list[Node]:
        names = [name for name in way if name in node.inputs][:1]
        names = names or [name for name in node.inputs if name == "" or name.startswith(way[-1])]
        return [found for name in names if (found := self.node(node, name)) is not None]

    def words(self, node: Node, way: Way) -> str | None:
        """The prompt that a sampler's conditioning was encoded from; None if no text is found on the way."""
        for each in self.upstream(node, way):
            if each.kind == "ConditioningZeroOut":
                return ""
            own = each.inputs.get(way[0])  # of a loader that encodes both prompts
            if (words := own if isinstance(own, str) else self._encoded(each)) is not None:
                return words
        return None

    def _encoded(self, node: Node) -> str | None:
        for pair in _PAIRS:
            both = [text(self.value(node, key)) for key in pair if key in node.inputs]
            if len(both) == 2:
                return ", ".join(dict.fromkeys(each for each in both if each))
        return next((words for key in _WORDS if isinstance(words := self.value(node, key), str)), None)

    def used(self) -> list[Node]:
        """The nodes that something which saves or shows a picture depends on; all where there is no such node."""
        waiting = [each for each in self.nodes.values() if any(word in each.kind for word in _OUTPUTS)]
        seen = {each.id: each for each in waiting}
        for node in waiting:
            for link in node.inputs.values():
                if (each := self._linked(link)) is not None and each.id not in seen:
                    seen[each.id] = each
                    waiting.append(each)
        return list((seen or self.nodes).values())

    def texts(self) -> list[str]:
        """The texts of the nodes that encode one, each once."""
        encoders = [node for node in self.nodes.values() if "Encode" in node.kind or "Prompt" in node.kind]
        return list(
            dict.fromkeys(words.strip() for each in encoders if (words := self._encoded(each)) and words.strip())
        )
