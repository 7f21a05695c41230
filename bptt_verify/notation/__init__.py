"""Formulas as text: the tokenizer, the parser (a whitelist), the syntax tree, and its printed form."""

from bptt_verify.notation.parser import readings
from bptt_verify.notation.vocabulary import Vocabulary

__all__ = ["Vocabulary", "readings"]
