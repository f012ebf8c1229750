"""The annotators: what turns a picture into the control image that a ControlNet reads. What each makes, and the files it needs.

A table and plain values only; `studio.annotators` runs them, in a process of its own.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from studio.core.errors import InvalidRequest
from studio.core.fields import Integer, Number
from studio.core.registry import Registry

NONE = "none"
FOLDER = "annotators"  # below a models folder: where the weights are put
SMALLEST, LARGEST = 64, 2048  # pixels a side of a control image where no run's size is given
MOST_PIXELS = 4096 * 4096
LONGEST_SHAPE = 4.0  # times its shorter side, beyond which a picture is cut before an annotator sees it

Resize = Literal["crop", "pad", "stretch"]


@dataclass(frozen=True)
class Annotator:
    """`files` lie below `models/annotators`; a name without a suffix is a folder in transformers' layout."""

    title: str
    help: str
    files: tuple[str, ...] = ()
    source: str = ""  # where the files are published

    @property
    def folder(self) -> bool:
        """Whether its weights are a folder of transformers."""
        return any("." not in name for name in self.files)


class AnnotatorView(BaseModel):
    """An annotator as form and command line show it. `problem`: why it cannot be used here; None: it can."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    help: str
    problem: str | None = None


class Annotation(BaseModel):
    """What is asked of an annotator. With the run's size the control image has the scale at which the run reads it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    annotator: str = Field("canny", max_length=60, title="Annotator", description="What makes the control image.")
    width: Integer | None = Field(None, ge=8, le=4096, title="Width", description="The run's width in pixels.")
    height: Integer | None = Field(None, ge=8, le=4096, title="Height", description="The run's height in pixels.")
    resize: Resize = Field("crop", title="Resize", description="How the run brings it to width and height.")
    resolution: Integer | None = Field(
        None,
        ge=64,
        le=2048,
        title="Resolution",
        description="Pixels of the shorter side that the annotator sees. Empty: as many as the run has (pixel-perfect).",
    )
    low: Number = Field(100, ge=0, le=255, title="Low threshold", description="Canny: weaker edges are dropped.")
    high: Number = Field(200, ge=0, le=255, title="High threshold", description="Canny: stronger edges are kept.")


class Annotate(Protocol):
    """Digest of a stored picture -> digest of its control image."""

    def __call__(self, digest: str, asked: Annotation) -> str: ...


ANNOTATORS: Registry[Annotator] = Registry("annotator")

_HUB = "lllyasviel/Annotators"
_TABLE = {
    NONE: Annotator("None", "The picture is a control image already: drawn, painted, or made elsewhere."),
    "canny": Annotator("Canny edges", "Thin lines along sharp edges (Canny 1986). For edge ControlNets."),
    "threshold": Annotator(
        "Edges by threshold", "Even lines wherever neighbouring colours differ; flat drawings come out exactly."
    ),
    "invert": Annotator("Invert", "Dark lines on paper become light lines on black. For scribbles and line art."),
    "blur": Annotator("Blur", "The picture without its detail. For tile and blur ControlNets."),
    "shuffle": Annotator("Shuffle", "Its colours and textures without its layout. For shuffle ControlNets."),
    "lineart_plain": Annotator(
        "Line art, plain", "Soft lines where the picture is darker than around. Needs no weights."
    ),
    "softedge_hed": Annotator("Soft edges, HED", "Soft outlines (Xie and Tu 2015).", ("ControlNetHED.pth",), _HUB),
    "softedge_pidinet": Annotator(
        "Soft edges, PiDiNet", "Soft outlines (Su et al. 2021).", ("table5_pidinet.pth",), _HUB
    ),
    "scribble_hed": Annotator("Scribble, HED", "A rough line drawing from soft edges.", ("ControlNetHED.pth",), _HUB),
    "scribble_pidinet": Annotator(
        "Scribble, PiDiNet", "A rough line drawing from soft edges.", ("table5_pidinet.pth",), _HUB
    ),
    "lineart": Annotator("Line art", "A fine line drawing.", ("sk_model.pth", "sk_model2.pth"), _HUB),
    "lineart_coarse": Annotator("Line art, coarse", "A bold line drawing.", ("sk_model.pth", "sk_model2.pth"), _HUB),
    "lineart_anime": Annotator("Line art, anime", "The lines of an anime picture.", ("netG.pth",), _HUB),
    "mlsd": Annotator("Straight lines, M-LSD", "Of rooms and buildings.", ("mlsd_large_512_fp32.pth",), _HUB),
    "openpose": Annotator(
        "Pose, OpenPose",
        "Skeletons of people (Cao et al. 2017).",
        ("body_pose_model.pth", "hand_pose_model.pth", "facenet.pth"),
        _HUB,
    ),
    "openpose_full": Annotator(
        "Pose with hands and face, OpenPose",
        "Skeletons, fingers and faces of people.",
        ("body_pose_model.pth", "hand_pose_model.pth", "facenet.pth"),
        _HUB,
    ),
    "depth_midas": Annotator(
        "Depth, MiDaS", "Near is bright (Ranftl et al. 2020).", ("dpt_hybrid-midas-501f0c75.pt",), _HUB
    ),
    "depth_zoe": Annotator("Depth, ZoeDepth", "Near is bright (Bhat et al. 2023).", ("ZoeD_M12_N.pt",), _HUB),
    "depth_leres": Annotator(
        "Depth, LeReS", "Near is bright (Yin et al. 2021).", ("res101.pth", "latest_net_G.pth"), _HUB
    ),
    "depth": Annotator(
        "Depth, any of transformers",
        "Near is bright. Depth Anything, DPT, ZoeDepth or another.",
        ("depth",),
        "depth-anything/Depth-Anything-V2-Small-hf",
    ),
    "normal_bae": Annotator("Normals, BAE", "Which way surfaces face (Bae et al. 2021).", ("scannet.pt",), _HUB),
    "segmentation": Annotator(
        "Segmentation, any of transformers",
        "A colour of ADE20K for each kind of thing. UperNet, SegFormer or another.",
        ("segmentation",),
        "openmmlab/upernet-convnext-small",
    ),
}
_ALL = [ANNOTATORS.add(name, annotator) for name, annotator in _TABLE.items()]


def absent(annotator: Annotator, missing: tuple[str, ...]) -> str:
    """One sentence on what to put where."""
    where = f"models/{FOLDER}/"
    if annotator.folder:
        return f"{annotator.title} needs weights: put a folder such as {annotator.source} at {where}{missing[0]}."
    files = " and ".join([", ".join(missing[:-1]), missing[-1]] if missing[1:] else missing)
    return f"{annotator.title} needs weights: put {files} (published as {annotator.source}) into {where}."


def control_size(picture: tuple[int, int], asked: Annotation) -> tuple[int, int]:
    """(width, height) of the control image of a picture of this size, of a sane shape already.

    Pixel-perfect: brought to the run's size afterwards, no pixel of it is enlarged or made smaller.
    """
    width, height = picture
    if asked.resolution:
        scale = asked.resolution / min(width, height)
    elif asked.width and asked.height:
        if asked.resize == "stretch":
            return asked.width, asked.height
        scales = asked.width / width, asked.height / height
        scale = max(scales) if asked.resize == "crop" else min(scales)
    else:
        scale = max(1.0, SMALLEST / min(width, height)) * min(1.0, LARGEST / max(width, height))
    scale *= min(1.0, (MOST_PIXELS / (width * height * scale * scale)) ** 0.5)
    return max(8, round(width * scale)), max(8, round(height * scale))


def check_annotation(asked: Annotation) -> Annotator:
    """The annotator; raises UnknownName, or InvalidRequest for thresholds the wrong way round."""
    annotator = ANNOTATORS.get(asked.annotator, field="annotator")
    if asked.low > asked.high:
        raise InvalidRequest(
            f"The low threshold must not be above the high one; got {asked.low:g} and {asked.high:g}.", field="low"
        )
    return annotator
