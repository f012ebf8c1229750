"""Whether a diffusers folder has what a run cannot do without, told by its index and file names alone. No torch.

Refuses to know what the parts hold; what is in their configurations and weights, `folder_parts` looks at.
"""

import os
from pathlib import Path

from studio.core.errors import ModelError
from studio.manager.disk.folder_parts import SKIPPED, read_json, weight_files
from studio.manager.disk.headers import shown
from studio.manager.families import Family

# Files that together are a tokenizer's vocabulary; any one row is enough.
VOCABULARIES = (
    ("tokenizer.json",),
    ("vocab.json", "merges.txt"),
    ("spiece.model",),
    ("sentencepiece.bpe.model",),
    ("tokenizer.model",),
    ("vocab.txt",),
)
OF_BYTES = frozenset({"ByT5Tokenizer"})  # tokenizers that need no vocabulary


def check_parts(
    folder: Path, family: Family, components: dict[str, tuple[str, str]], spared: frozenset[str] = frozenset()
) -> None:
    """Refuse a folder whose index leaves out what its family's pipeline works with, or a tokenizer that knows no words.

    `spared` components are not needed, and are not looked at.
    """
    known = family.name != "generic"  # else pipelines differ in what they read the prompt and decode with
    for name in (family.denoiser, family.scheduler, family.decoder if known else None):
        if name is not None and name not in components:
            raise ModelError(f"Its model_index.json names no {name}, without which there is no picture.")
    for name in sorted({family.denoiser, family.decoder or "", *family.encoders} & components.keys() - spared):
        if not weight_files(folder / name)[0]:
            raise ModelError(f"Its {name} has no weights.")
    for name, what in family.needs.items():
        if name not in components and name not in SKIPPED:
            kind = f" ({what})" if what else ""
            raise ModelError(
                f"Its model_index.json names no {name}{kind}, without which {family.title} cannot be made; a folder of that "
                "name with it, and a line for it there, would do."
            )
    wanted = set(family.encoders) - spared if known else set[str]()
    if wanted and wanted.isdisjoint(components):
        raise ModelError(f"Its model_index.json names no {family.encoders[0]}, so that nothing would read the prompt.")
    for encoder in sorted(wanted & components.keys()):
        tokenizer = encoder.replace("text_encoder", "tokenizer")
        if tokenizer not in components:
            raise ModelError(f"Its model_index.json names no {tokenizer} for its {encoder}.")
    for name, (library, class_name) in components.items():
        if name in spared:
            continue
        if library == "transformers" and "Tokenizer" in class_name and class_name not in OF_BYTES:
            check_vocabulary(folder / name)


def check_vocabulary(part: Path) -> None:
    """A tokenizer without its vocabulary loads without a word, and then drops the prompt's. Raises ModelError."""
    if os.path.lexists(part / "tokenizer_config.json"):
        longest = read_json(part / "tokenizer_config.json").get("model_max_length")
        if longest is not None and not isinstance(longest, int | float):
            raise ModelError(
                f"Its {part.name} is set to model_max_length = {shown(str(longest))!r}, which is no number."
            )
    if not any(all(os.path.isfile(part / file) for file in row) for row in VOCABULARIES):
        raise ModelError(
            f"Its {part.name} has no vocabulary: {part.name}/ holds no tokenizer.json, nor vocab.json with merges.txt, "
            "nor spiece.model."
        )
