"""The prompt language, A1111's: what a prompt means, before any model reads it. Pure text in, values out; no torch."""

from studio.prompts.composition import Composition, Conjunct, parse
from studio.prompts.errors import PromptError
from studio.prompts.weights import Piece, weighted

__all__ = ["Composition", "Conjunct", "Piece", "PromptError", "parse", "weighted"]
