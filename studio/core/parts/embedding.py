"""A textual inversion (Gal et al. 2022): vectors that a word of the prompt becomes. The word is the file's name."""

import re
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from studio.core.fields import Name, extra
from studio.core.parts.base import PartBase

if TYPE_CHECKING:
    from studio.core.models import ModelInfo

LIBRARY_NAME = re.compile(
    r"learned_embeds?([-_].*)?"
)  # diffusers' own, which says nothing: the folder's is the word then


def token_of(model: str) -> str:
    """The word of an embedding, by the id of its file."""
    folder, _, name = model.rpartition("/")
    return folder.rpartition("/")[2] if folder and LIBRARY_NAME.fullmatch(name) else name


class Embedding(PartBase):
    kind: Literal["embedding"] = "embedding"
    title: ClassVar[str] = "Embedding"
    plural: ClassVar[str] = "Embeddings"
    help: ClassVar[str] = "A word for the prompt that was trained by textual inversion: the name of its file."
    many: ClassVar[bool] = True
    model_kind: ClassVar[str] = "embedding"
    rows: ClassVar[bool] = True

    model: Name = Field(
        title="Embedding",
        description="The embedding's file. Its name is the word to write into the prompt.",
        json_schema_extra=extra(widget="model", model_kind="embedding"),
    )

    @property
    def token(self) -> str:
        return token_of(self.model)

    @classmethod
    def words(cls, file: "ModelInfo") -> tuple[str, ...]:
        return (token_of(file.id),)
