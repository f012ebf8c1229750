"""A training run as one frozen value, read from a YAML recipe. The fields declare their bounds and help.

Does not load torch: a recipe is checked, shown and changed before anything heavy is imported.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from studio.core.errors import InvalidRequest, StorageError
from studio.core.fields import extra
from studio.core.training import RecipeGroup
from studio.training.datasets.densities import DRAWING, check_drawing, densities

Names = tuple[str, ...]
FOLDER = "folder"  # the data set of a person's own pictures
Loss = Annotated[
    Literal["mse", "l1", "huber"],
    Field(title="Loss", description="Of a difference: mse squares it; l1 and huber mind outliers less."),
]
Coordinate = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class Plain(BaseModel):
    """Base of all parts of a recipe: frozen; undeclared fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    # Of a task: settings of the recipe, by dotted name, that it does not read; whether pipelines load a folder of its or a file.
    unused: ClassVar[frozenset[str]] = frozenset()
    exports: ClassVar[str] = "folder"


class DataConfig(Plain):
    """Which pictures, with which captions."""

    name: str = Field("tinyworld", title="Data set", description="A registered data set.")
    size: int = Field(128, ge=16, le=1024, multiple_of=8, title="Size", description="Side of a picture in pixels.")
    seed: int = Field(0, ge=0, title="Data seed", description="Another seed draws other pictures.")
    styles: Names = Field(("flat",), title="Styles", description="Drawing styles of Tiny World.")
    objects: tuple[float, float, float] = Field(
        (0.5, 0.38, 0.12), title="Objects", description="Shares of pictures with one, two and three objects."
    )
    folder: str = Field(
        "",
        max_length=1000,
        title="Your pictures",
        description="Folder or zip of your own pictures; captions in .txt files beside them, in a .csv, or by folder.",
        json_schema_extra=extra(widget="pictures"),
    )
    crop: Literal["centre", "buckets"] = Field(
        "centre", title="Crop", description="centre: all square. buckets: by ratio of sides, little is cut off."
    )
    flip: bool = Field(False, title="Mirror", description="Also train on every picture mirrored.")

    def not_read(self) -> frozenset[str]:
        """The settings that this data set does not read."""
        return frozenset({"styles", "objects"} if self.name == FOLDER else {"folder", "crop", "flip"})

    def options(self) -> dict[str, Any]:
        """What the data set is made with."""
        return self.model_dump(exclude={"name", *self.not_read()})

    def key(self) -> dict[str, Any]:
        """What its pictures depend on, as plain values."""
        return self.model_dump(mode="json", exclude=set(self.not_read() & {"folder", "crop", "flip"}))


class OptimizerConfig(Plain):
    """The optimizer and its learning rate: warm-up, constant, then decay to zero (WSD)."""

    name: str = Field("adamw", title="Optimizer", description="A registered optimizer.")
    learning_rate: float = Field(1e-3, gt=0, le=1, title="Learning rate", description="Between warm-up and decay.")
    matrix_learning_rate: float = Field(
        1e-2, gt=0, le=1, title="Matrix rate", description="Muon's rate for hidden matrices, where Muon is used."
    )
    weight_decay: float = Field(0.01, ge=0, le=1, title="Weight decay", description="Decoupled, on matrices only.")
    betas: tuple[float, float] = Field((0.9, 0.99), title="Betas", description="Adam's two averages.")
    warmup: int = Field(100, ge=0, title="Warm-up", description="Steps in which the rate climbs.")
    decay: float = Field(0.3, ge=0, le=1, title="Decay", description="Last share of the steps, in which it falls to 0.")
    clip: float = Field(1.0, gt=0, title="Clip", description="Largest norm of the gradient.")


class AutoencoderTask(Plain):
    """Pictures to latents and back."""

    kind: Literal["autoencoder"] = "autoencoder"
    encoder_channels: int = Field(32, ge=8, le=128, title="Encoder channels", description="The same at all levels.")
    decoder_channels: int = Field(32, ge=8, le=128, title="Decoder channels", description="The same at all levels.")
    encoder_blocks: tuple[int, ...] = Field((1, 3, 3, 3), title="Encoder blocks", description="From full size down.")
    decoder_blocks: tuple[int, ...] = Field((3, 3, 3, 1), title="Decoder blocks", description="From the latent up.")
    latent_channels: int = Field(4, ge=1, le=16, title="Latent channels", description="Stock inpainting needs 4.")
    crop: int = Field(64, ge=16, title="Crop", description="Side of the crops, taken where edges are.")
    crops_per_picture: int = Field(4, ge=1, le=16, title="Crops", description="Crops taken from one picture.")
    whole_every: int = Field(
        4, ge=1, title="Whole", description="Every so many steps, whole pictures instead of crops."
    )
    noise: float = Field(0.05, ge=0, title="Noise", description="Deviation of noise on latents before decoding.")
    edges: float = Field(0.5, ge=0, title="Edge weight", description="Weight of the loss on differences of neighbours.")
    whiten: float = Field(0.01, ge=0, title="Whitening", description="Pull of the latents to mean 0, covariance 1.")
    freeze_encoder: bool = Field(False, title="Freeze encoder", description="Train the decoder alone.")
    start_from: str | None = Field(None, title="Start from", description="Run or model folder to start from.")


class TextTask(Plain):
    """A tokenizer, and a text encoder trained with an image tower so that a caption finds its picture (CLIP)."""

    kind: Literal["text"] = "text"
    hidden: int = Field(256, ge=32, title="Width", description="Of the text encoder.")
    layers: int = Field(3, ge=1, title="Layers", description="Of the text encoder.")
    heads: int = Field(4, ge=1, title="Heads", description="Of the text encoder.")
    positions: int = Field(128, ge=16, title="Positions", description="Longest text that the encoder can read.")
    tokens: int = Field(48, ge=8, title="Tokens", description="The tokenizer's own length: longer text is cut.")
    vocabulary: int = Field(1024, ge=300, title="Vocabulary", description="Largest number of tokens.")
    captions: int = Field(40000, ge=100, title="Captions", description="Captions that the merges are learned from.")
    pictures: int = Field(16000, ge=64, title="Pictures", description="Pictures that the image tower sees.")
    picture_size: int = Field(64, ge=16, title="Picture size", description="Side of the image tower's input.")
    embedding: int = Field(128, ge=16, title="Embedding", description="Width of the shared space.")


class DiffusionTask(Plain):
    """Latent text-to-image diffusion."""

    kind: Literal["diffusion"] = "diffusion"
    backbone: str = Field("unet2d_condition", title="Backbone", description="A registered denoiser.")
    model: dict[str, Any] = Field(default_factory=dict, title="Model", description="Sizes, as the backbone names them.")
    objective: str = Field("v", title="Objective", description="What the denoiser predicts.")
    schedule: str = Field("scaled_linear", title="Schedule", description="How signal turns into noise.")
    schedule_options: dict[str, float] = Field(default_factory=dict, title="Schedule options", description="Its ends.")
    weighting: str = Field("uniform", title="Weighting", description="Weight of each noise level in the loss.")
    loss: Loss = "mse"
    unconditional: float = Field(0.1, ge=0, le=1, title="Dropout", description="Share of captions left out (for CFG).")
    autoencoder: str = Field(..., title="Autoencoder", description="Folder of the trained autoencoder.")
    text: str = Field(..., title="Text", description="Folder of the trained tokenizer and text encoder.")
    text_rate: float = Field(0.3, ge=0, le=1, title="Text rate", description="The text encoder's share of the rate.")
    pictures: int = Field(50000, ge=16, title="Pictures", description="Pictures whose latents are kept.")
    captions: int = Field(4, ge=1, le=16, title="Captions", description="Different captions of each picture.")
    repeats: int = Field(3, ge=1, title="Repeats", description="How often a picture is used before a new one is drawn.")
    sample_prompts: Names = Field((), title="Prompts", description="Drawn at every sample.")
    sample_steps: int = Field(20, ge=1, le=1000, title="Sample steps", description="Solver steps of a sample.")
    sample_cfg: float = Field(4.0, ge=1, le=30, title="Sample CFG", description="Guidance of a sample.")


class FinetuningTask(Plain):
    """What all trainings share that start from a trained Stable Diffusion (SD 1, SD 2, SDXL or the starter)."""

    base: str = Field(..., title="Base", description="Folder of the trained diffusers pipeline to start from.")
    unconditional: float = Field(0.1, ge=0, le=1, title="Dropout", description="Share of captions left out (for CFG).")
    timesteps: str = Field("uniform", title="Timesteps", description="uniform, or cubic: more of the noisy ones.")
    pictures: int = Field(4096, ge=16, title="Pictures", description="Pictures whose latents are kept.")
    captions: int = Field(2, ge=1, le=16, title="Captions", description="Different captions of each picture.")
    gradient_checkpointing: bool = Field(False, title="Checkpointing", description="Less memory, a third slower.")
    sample_prompts: Names = Field(
        (), title="Prompts", description="Drawn at every sample, on the first pictures' maps."
    )
    sample_steps: int = Field(20, ge=1, le=1000, title="Sample steps", description="Solver steps of a sample.")
    sample_cfg: float = Field(2.5, ge=1, le=30, title="Sample CFG", description="Guidance of a sample.")


class InpaintingTask(FinetuningTask):
    """A U-Net with 9 input channels: the latents, the mask, and the latents of the masked picture."""

    kind: Literal["inpainting"] = "inpainting"
    masks: dict[str, float] = Field(
        {"object": 0.35, "removed": 0.2, "boxes": 0.15, "strokes": 0.15, "border": 0.1, "everything": 0.05},
        title="Masks",
        description="Shares of the kinds of masks.",
    )


class ControlNetTask(FinetuningTask):
    """A ControlNet for one kind of map."""

    kind: Literal["controlnet"] = "controlnet"
    control: str = Field("edges", title="Control", description="A registered map: edges, segmentation or depth.")
    conditioning_channels: tuple[int, ...] = Field(
        (16, 32, 96, 256), title="Conditioning channels", description="Of the layers that read the control picture."
    )
    placeless: int = Field(
        0,
        ge=0,
        le=16,
        title="Captions without places",
        description="Further captions of each picture that say neither places nor sizes, so that the map alone does.",
    )
    start_from: str | None = Field(
        None, title="Start from", description="Folder of a trained ControlNet to go on from; else a copy of the base."
    )


class LoraTask(FinetuningTask):
    """Low-rank updates of a U-Net's layers."""

    exports: ClassVar[str] = "file"
    kind: Literal["lora"] = "lora"
    rank: int = Field(8, ge=1, le=320, title="Rank", description="Of the updates.")
    alpha: float = Field(8.0, gt=0, title="Alpha", description="The updates are scaled by alpha / rank.")
    layers: Names = Field(
        ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"),
        title="Layers",
        description="Ends of the names of the U-Net's layers that are updated.",
    )
    text_encoder: bool = Field(
        False, title="Text encoder", description="Update the text encoders' attention too: learns new words better."
    )
    text_rate: float = Field(0.5, gt=0, le=1, title="Text rate", description="The text encoders' share of the rate.")
    filter: str = Field("none", title="Filter", description="A registered drawing filter over the pictures.")
    trigger: str = Field("", title="Trigger", description="Words before every caption; empty for none.")


class FullTask(FinetuningTask):
    """All weights of a U-Net."""

    kind: Literal["full"] = "full"


class PixelsTask(Plain):
    """Pixel diffusion without a prompt: a DDPM."""

    kind: Literal["pixels"] = "pixels"
    model: dict[str, Any] = Field(default_factory=dict, title="Model", description="Sizes, as UNet2DModel names them.")
    objective: str = Field("v", title="Objective", description="What the denoiser predicts: epsilon, x0 or v.")
    schedule: str = Field("linear", title="Schedule", description="How signal turns into noise.")
    schedule_options: dict[str, float] = Field(default_factory=dict, title="Schedule options", description="Its ends.")
    weighting: str = Field("uniform", title="Weighting", description="Weight of each noise level in the loss.")
    loss: Loss = "mse"
    pictures: int = Field(1500, ge=16, title="Pictures", description="Pictures that are trained on.")
    sample_steps: int = Field(20, ge=1, le=1000, title="Sample steps", description="Solver steps of a sample.")


class ClassesTask(Plain):
    """Latent diffusion conditioned on a class: a DiT."""

    kind: Literal["classes"] = "classes"
    model: dict[str, Any] = Field(
        default_factory=dict, title="Model", description="Sizes, as DiTTransformer2DModel names them."
    )
    objective: str = Field("v", title="Objective", description="What the denoiser predicts: epsilon, x0 or v.")
    schedule: str = Field("scaled_linear", title="Schedule", description="How signal turns into noise.")
    schedule_options: dict[str, float] = Field(default_factory=dict, title="Schedule options", description="Its ends.")
    weighting: str = Field("uniform", title="Weighting", description="Weight of each noise level in the loss.")
    loss: Loss = "mse"
    autoencoder: str = Field(..., title="Autoencoder", description="Folder of a trained autoencoder.")
    pictures: int = Field(20000, ge=16, title="Pictures", description="Pictures whose latents are kept.")
    sample_steps: int = Field(20, ge=1, le=1000, title="Sample steps", description="Solver steps of a sample.")
    sample_cfg: float = Field(3.0, ge=1, le=30, title="Sample CFG", description="Guidance of a sample.")


class DensityTask(Plain):
    """Diffusion of points in the plane."""

    unused = frozenset({"data.name", "data.size", "data.styles", "data.objects"})
    kind: Literal["density"] = "density"
    density: str = Field("eight_gaussians", title="Density", description="A registered density, or drawing.")
    drawing: tuple[tuple[Coordinate, Coordinate], ...] = Field(
        (), max_length=2000, title="Drawing", description="The points of a drawing, where the density is drawing."
    )
    classes: bool = Field(False, title="Classes", description="Condition on the class: a Gaussian, a moon, a ring.")
    unconditional: float = Field(0.1, ge=0, le=1, title="Dropout", description="Share of classes left out (for CFG).")
    hidden: int = Field(64, ge=8, le=256, title="Width", description="Of the MLP.")
    layers: int = Field(4, ge=1, le=8, title="Layers", description="Of the MLP.")
    objective: str = Field("flow", title="Objective", description="What is predicted: epsilon, x0, v or flow.")
    schedule: str = Field("flow", title="Schedule", description="How signal turns into noise.")
    schedule_options: dict[str, float] = Field(default_factory=dict, title="Schedule options", description="Its ends.")
    weighting: str = Field("uniform", title="Weighting", description="Weight of each noise level in the loss.")
    loss: Loss = "mse"
    sample_steps: int = Field(25, ge=1, le=1000, title="Sample steps", description="Solver steps of a sample.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.density != DRAWING and self.density not in densities:
            raise ValueError(f"there is no density {self.density[:40]!r}; choose {', '.join([*densities, DRAWING])}")
        if self.density == DRAWING and (problem := check_drawing(np.array(self.drawing))):
            raise ValueError(problem)
        if self.schedule.startswith("flow") != (self.objective == "flow"):
            raise ValueError("the objective flow goes with the flow schedules, and the others with the rest")
        return self


class ClassifierTask(Plain):
    """A classifier of noisy points in the plane, for classifier guidance."""

    unused = frozenset({"data.name", "data.size", "data.styles", "data.objects"})
    kind: Literal["classifier"] = "classifier"
    density: str = Field("eight_gaussians", title="Density", description="A registered density with classes.")
    hidden: int = Field(64, ge=8, le=256, title="Width", description="Of the MLP.")
    layers: int = Field(2, ge=1, le=8, title="Layers", description="Of the MLP.")
    schedule: str = Field("flow", title="Schedule", description="How signal turns into noise.")
    schedule_options: dict[str, float] = Field(default_factory=dict, title="Schedule options", description="Its ends.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.density not in densities or densities.get(self.density)().classes < 2:
            raise ValueError("a classifier needs a density with classes: eight_gaussians, two_moons or rings")
        return self


class Distillation(Plain):
    """How a student learns from a teacher to sample in few steps. The method's paper is named in its file."""

    method: Literal["reflow", "progressive", "consistency", "easy_consistency_tuning", "lcm"] = Field(
        "consistency", title="Method", description="How the student learns to sample in few steps."
    )
    guidance: tuple[float, float] = Field(
        (1.0, 1.0),
        title="Guidance",
        description="Scales of the teacher's guidance, from and to; 1 is none. Only lcm learns more than one.",
    )
    teacher_steps: int = Field(
        50,
        ge=2,
        le=1000,
        title="Teacher steps",
        description="Of its ODE: of a pair's (reflow), of the grid (consistency).",
    )
    pairs: int = Field(20000, ge=16, title="Pairs", description="Of noise and the teacher's result, for reflow.")
    first_steps: int = Field(
        16, ge=1, le=512, title="First steps", description="Of the first student; each next has half. For progressive."
    )
    last_steps: int = Field(2, ge=1, le=512, title="Last steps", description="Of the last student. For progressive.")
    target_ema: float = Field(
        0.95, ge=0, lt=1, title="Target EMA", description="Memory of the average that the student is compared with."
    )
    compared: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        (1, 2, 4),
        min_length=1,
        max_length=6,
        title="Compared",
        description="Steps at which teacher and student are shown.",
    )

    def problem(self) -> str:
        """What does not fit together, in one sentence; empty where all does."""
        low, high = self.guidance
        if not 1 <= low <= high <= 30:
            return "the guidance goes from at least 1 up to at most 30"
        if low < high and self.method != "lcm":
            return f"{self.method} learns one guidance scale; give the same twice, or choose lcm"
        if self.first_steps % self.last_steps or (self.first_steps // self.last_steps).bit_count() != 1:
            return "halving the first steps must lead to the last ones, as 16 to 2"
        return ""


class DensityStudentTask(Distillation):
    """A student of a model of points."""

    unused = frozenset({"data.name", "data.size", "data.styles", "data.objects"})
    kind: Literal["density_student"] = "density_student"
    teacher: str = Field(
        ..., title="Teacher", description="A run of a density, or a recipe of one, which is then run first (seconds)."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if problem := self.problem():
            raise ValueError(problem)
        return self


class StudentTask(FinetuningTask, Distillation):
    """A student of a Stable Diffusion: the base is the teacher."""

    kind: Literal["student"] = "student"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if problem := self.problem():
            raise ValueError(problem)
        return self


Task = Annotated[
    AutoencoderTask
    | TextTask
    | DiffusionTask
    | PixelsTask
    | ClassesTask
    | DensityTask
    | ClassifierTask
    | InpaintingTask
    | ControlNetTask
    | LoraTask
    | FullTask
    | DensityStudentTask
    | StudentTask,
    Field(discriminator="kind"),
]


class About(Plain):
    """What a recipe says of itself, for people."""

    group: RecipeGroup = Field("", title="Group", description="Under which it is offered.")
    makes: str = Field("", title="Makes", description="What comes out of it, and what it needs.")
    minutes: float | None = Field(None, gt=0, title="Minutes", description="That the run took.")
    measured_on: str = Field("", title="Measured on", description="The machine that it took them on.")
    paper: str = Field("", title="Paper", description="Where the method is from.")
    defaults: dict[str, Any] = Field(
        default_factory=dict,
        title="Defaults",
        description="Settings that suit the result: sampler, steps, guidance_scale.",
    )


class TrainConfig(Plain):
    """A whole run. Everything that decides the weights is in here."""

    name: str = Field(..., min_length=1, max_length=60, pattern=r"^[A-Za-z0-9][\w.-]*$", title="Name")
    title: str = Field("", title="Title", description="What the model is, for people.")
    about: About = About()
    seed: int = Field(0, ge=0, le=2**63 - 1, title="Seed", description="Of the weights, the noise and the data order.")
    steps: int = Field(1000, ge=1, le=10_000_000, title="Steps", description="Optimizer steps of the whole run.")
    batch: int = Field(32, ge=1, le=65536, title="Batch", description="Pictures a step.")
    precision: Literal["fp32", "bf16"] = Field("bf16", title="Precision", description="Of the forward pass.")
    device: str = Field("cpu", title="Device", description="cpu, cuda, cuda:0, mps.")
    threads: int = Field(0, ge=0, le=1024, title="Threads", description="Processor threads; 0 leaves it to torch.")
    workers: int = Field(
        0, ge=0, le=256, title="Workers", description="Processes that draw the pictures; 0 draws them beside training."
    )
    waits: bool = Field(
        True, title="Waits for pictures", description="Stops between two steps while the studio makes pictures."
    )
    compile: bool = Field(False, title="Compile", description="Compile the model; pays off in long runs.")
    ema: float = Field(0.999, ge=0, lt=1, title="EMA", description="Longest memory of the averaged weights.")
    log_every: int = Field(20, ge=1, title="Log every", description="Steps between figures.")
    sample_every: int = Field(500, ge=1, title="Sample every", description="Steps between samples.")
    save_every: int = Field(500, ge=1, title="Save every", description="Steps between checkpoints.")
    data: DataConfig = DataConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    task: Task

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.data.crop == "buckets" and not isinstance(self.task, LoraTask | FullTask):
            raise ValueError("data.crop: buckets are for LoRA and full fine-tuning; choose centre")
        if getattr(self.task, "objective", "") == "epsilon" and getattr(self.task, "schedule_options", {}).get(
            "zero_terminal_snr"
        ):
            raise ValueError("where the last step is noise alone, epsilon says nothing of the picture; choose v or x0")
        return self

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


# The fields that may differ when a run is resumed: its length, with the decay that follows from it, and the length of the
# moving average. No other field that a step depends on.
RESUMABLE = frozenset(
    {
        "steps",
        "ema",
        "threads",
        "workers",
        "waits",
        "compile",
        "log_every",
        "sample_every",
        "save_every",
        "title",
        "about",
    }
)


def parse(data: object, changes: dict[str, Any] | None = None) -> TrainConfig:
    """A config from plain data, with `changes` by dotted name ("optimizer.decay"). Raises InvalidRequest."""
    if not isinstance(data, dict):
        raise InvalidRequest("A training recipe is a table of names and values.")
    for name, value in (changes or {}).items():
        _put(data, name.split("."), value)
    try:
        return TrainConfig.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise InvalidRequest(f"The recipe's {where}: {message}.", field=where) from None


def load(path: Path, changes: dict[str, Any] | None = None) -> TrainConfig:
    """The recipe in a YAML file. Raises StorageError or InvalidRequest."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise StorageError(f"The recipe {path.name} cannot be read.") from None
    except yaml.YAMLError:
        raise InvalidRequest(f"The recipe {path.name} is not valid YAML.") from None
    return parse(data, changes)


def _put(data: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        data = data.setdefault(part, {})
        if not isinstance(data, dict):
            raise InvalidRequest(f"The recipe has no table called {part!r}.")
    data[path[-1]] = value
