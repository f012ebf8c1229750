"""Draw Things (1.2024 on): a JSON object in the XMP packet's `exif:UserComment`, or in Exif's own.

"c" is the prompt and "uc" the negative one; `v2` repeats the whole configuration and is not needed.
"""

from xml.sax.saxutils import unescape

from studio.metadata.containers import XMP
from studio.metadata.found import File, Found, Texts, as_object, decimal, left, objects, size, text

_FIELDS = {"seed": "seed", "steps": "steps", "scale": "guidance_scale"}
_KNOWN = frozenset(
    {*_FIELDS, "c", "uc", "model", "sampler", "size", "strength", "lora", "v2", "profile", "seed_mode", "mask_blur"}
)
_ENTITIES = {"&quot;": '"', "&apos;": "'", "&#xA;": "\n", "&#10;": "\n"}


def read(texts: Texts) -> Found | None:
    data = as_object(xmp_text(texts.get(XMP, ""), "exif:UserComment")) or texts.object(texts.main)
    if "c" not in data or "uc" not in data:
        return None
    found = Found("Draw Things", text(data["c"]).strip(), text(data["uc"]).strip())
    for theirs, ours in _FIELDS.items():
        found.put(ours, data.get(theirs))
    for ours, side in zip(("width", "height"), size(data.get("size")) or (), strict=False):
        found.put(ours, side)
    found.sampler = text(data.get("sampler"))
    found.model = File(text(data.get("model")))
    for each in objects(data.get("lora")):
        weight = decimal(each.get("weight"))
        found.loras.append(File(text(each.get("model")), weight=1.0 if weight is None else weight))
    strength = decimal(data.get("strength"))
    found.strength = strength if strength is not None and strength < 1 else None
    found.unused = left(data, _KNOWN)
    return found


def xmp_text(packet: str, element: str) -> str:
    """The text of an XMP element: of its first list item, if it is a list."""
    inner = packet.partition(f"<{element}>")[2].partition(f"</{element}>")[0]
    if "<rdf:li" in inner:
        inner = inner.partition("<rdf:li")[2].partition(">")[2].partition("</rdf:li>")[0]
    return unescape(inner, _ENTITIES)
