"""What is known of a model without loading it, as plain values. The catalog fills them; the form and the CLI show them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from studio.core.cascade import Cascade

Kind = Literal[
    "checkpoint",
    "diffusers",
    "lora",
    "embedding",
    "vae",
    "controlnet",
    "t2i_adapter",
    "ip_adapter",
    "upscaler",
    "text_encoder",
    "gguf",
    "unknown",
]
MODEL_KINDS: frozenset[Kind] = frozenset({"checkpoint", "diffusers", "gguf"})  # those that make pictures
Prediction = Literal["epsilon", "v_prediction", "sample", "flow_prediction", "consistency"]


class Defaults(BaseModel):
    """What a model is best used with, until a person says otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sampler: str = "dpmpp_2m"
    spacing: str = "default"
    steps: int = 20
    guidance_scale: float = 5.0
    width: int = 512
    height: int = 512


class Capabilities(BaseModel):
    """Everything that a model can do and accepts of a request. Made by its family, handed through whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: tuple[str, ...] = ("text_to_image",)  # kinds of `core.tasks`
    parts: tuple[str, ...] = ()  # kinds of `core.parts`
    excluded: tuple[tuple[str, str], ...] = ()  # (task, part) that no pipeline of the family has together
    prediction: str = "epsilon"  # epsilon | v_prediction | sample | flow_prediction | consistency
    spacing: str = ""  # the spacing that its own scheduler's configuration names; empty if it names none
    solvers: tuple[str, ...] | None = None  # a family's own allow-list of samplers; None: any legal for the prediction
    guided: bool = True  # takes classifier-free guidance
    prompted: bool = True  # takes a prompt
    prompt_help: str = ""  # what the prompt means, where it is not a picture in words
    negative: bool = True  # takes a negative prompt
    rescale: bool = True  # its pipeline takes guidance rescale
    clip_skip: bool = True  # and a layer of CLIP to read
    zero_snr: bool = False  # trained down to zero signal, which not every sampler can start from
    runge_kutta: bool = False  # PNDM begins with Runge-Kutta steps, as its scheduler's configuration has it
    fewest_steps: int = 1  # that its own noise schedule can be laid out over
    partial_steps: Literal["floor", "ceil"] = "floor"  # how strength * steps is rounded by its pipelines
    multiple: int = 8  # width and height are multiples of this
    sizes: tuple[tuple[int, int], ...] = ()  # (width, height) of the only pictures that it makes; empty: any
    area: int | None = None  # pixels in all of any picture that it makes, whatever its shape; None: any
    fixed_size: bool = False  # makes only its own size
    distilled: bool = False  # made for few steps, which its samplers must be too


class ModelInfo(BaseModel):
    """One model on disk. `id` is its path below its models folder, with "/" and without suffix, and addresses it everywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    title: str
    kind: Kind
    family: str | None = None  # a name of manager.families, e.g. "sd1", "sdxl", "pixart"
    variant: str = ""  # "inpaint", "refiner", "v-prediction", "few-step"
    pipeline: str | None = None  # diffusers pipeline class that a folder names
    capabilities: Capabilities = Field(default_factory=Capabilities)
    cascade: Cascade | None = None  # the models here that enlarge its picture
    defaults: Defaults = Field(default_factory=Defaults)
    dtype: str | None = None
    needs: tuple[str, ...] = ()  # components that a single file does not carry: they come from other files or a folder
    bytes: int = 0
    sha256: str | None = None
    description: str = ""
    triggers: tuple[str, ...] = ()  # of a LoRA: the words that call up what it was trained on
    trained: str = ""  # of a LoRA: base model, resolution and steps of its training, as its file has them
    vocabulary: dict[
        str, tuple[str, ...]
    ] = {}  # what it was trained on, by title: all that it can draw; empty: not known
    recipe: str = ""  # name of the training recipe that it was made by, where its card says so
    shipped: bool = False
    preview: str | None = None  # name of a picture that lies beside the file
    vae: str | None = None  # id of the VAE that decodes in place of its own, as the user set it
    hidden: bool = False  # kept out of lists and menus by the user; its id addresses it all the same
    overridden: tuple[str, ...] = ()  # which of Override's fields the card beside it, or the user, has set
    problem: str | None = None  # why it cannot be used, in one sentence; None: usable


class Override(BaseModel):
    """What the user says of a model. A field that is not given stays as it is; None removes what was said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str | None = Field(None, min_length=1, max_length=120)
    family: str | None = Field(None, max_length=60)  # of single files; a folder names its own pipeline
    variant: str | None = Field(None, max_length=60)
    prediction: Prediction | None = None
    vae: str | None = Field(None, max_length=300)
    hidden: bool | None = None  # keep it out of lists and menus


class Choice(BaseModel):
    """A named option of a menu."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    help: str = ""


class Advice(BaseModel):
    """What to say of a run with fewer steps than `below`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    below: int
    sentence: str


class ModelOptions(BaseModel):
    """What the form may offer for one model: samplers, and for each the spacings that are legal with it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelInfo
    samplers: tuple[Choice, ...]
    spacings: dict[str, tuple[Choice, ...]]  # sampler name -> legal spacings
    advice: dict[str, dict[str, Advice]] = {}  # sampler name -> spacing -> advice, where few steps do poorly
