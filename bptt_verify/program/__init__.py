"""The intermediate representation: a recurrence, its gradient and its tangent are all Programs."""

from bptt_verify.program.evaluation import evaluate
from bptt_verify.program.formulas import TEXT, Notation, formula, spelled
from bptt_verify.program.nodes import (
    BATCH,
    TIME,
    Array,
    Carry,
    Contract,
    Equation,
    Pack,
    Peak,
    Pointwise,
    Program,
    Ref,
    Select,
    size_of,
    size_symbol,
    symbol,
)
from bptt_verify.program.order import Component, components
from bptt_verify.program.text import digest, listing

__all__ = [
    "BATCH",
    "TEXT",
    "TIME",
    "Array",
    "Carry",
    "Component",
    "Contract",
    "Equation",
    "Notation",
    "Pack",
    "Peak",
    "Pointwise",
    "Program",
    "Ref",
    "Select",
    "components",
    "digest",
    "evaluate",
    "formula",
    "listing",
    "size_of",
    "size_symbol",
    "spelled",
    "symbol",
]
