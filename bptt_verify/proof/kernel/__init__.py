"""The trusted part: terms, conditions, definitions, theorems, and the rules that alone can make one.

Read it in this order: ``indices``, ``terms``, ``binding``, ``conditions``, ``polynomials``,
``definitions``, ``theorems``, then the rules: ``equality`` (with ``positions`` and ``signs``), ``sums``,
``products``, ``traces``, ``norms``, ``order``, ``means``, ``induction``.

What is trusted besides: Python; of SymPy the arithmetic of integers, expansion of commuting polynomials,
and ``Add`` and ``Mul`` as containers that keep the order of factors that do not commute.
"""

from bptt_verify.proof.kernel.binding import entries, equal, free, is_random, power, substitute
from bptt_verify.proof.kernel.conditions import at_least, between, implies, impossible
from bptt_verify.proof.kernel.definitions import Case, Definition
from bptt_verify.proof.kernel.equality import (
    instantiate,
    resize,
    rewrite,
    ring,
    speaks_of_means,
    specialise,
    symmetric,
    transitive,
    unfold,
    weaken,
)
from bptt_verify.proof.kernel.indices import index
from bptt_verify.proof.kernel.induction import assume, discharge, hypothesis, induction
from bptt_verify.proof.kernel.means import (
    constants_out,
    independence,
    mean_of_constant,
    mean_of_sum,
    mean_of_transpose,
)
from bptt_verify.proof.kernel.norms import (
    absolute,
    at_most_absolute,
    norm_of_multiple,
    norm_of_number,
    submultiplicative,
    triangle,
)
from bptt_verify.proof.kernel.order import both_ways, combine, not_negative, root
from bptt_verify.proof.kernel.products import (
    empty_product,
    one_factor,
    peel_newest,
    peel_oldest,
    transposition,
)
from bptt_verify.proof.kernel.sums import (
    distribute,
    empty_sum,
    exchange,
    first_term,
    last_term,
    one_term,
    reindex,
    split_sum,
    sum_of_sums,
    sum_of_zeros,
    take_out,
)
from bptt_verify.proof.kernel.terms import (
    Entry,
    Letter,
    Mean,
    Norm,
    Ordered,
    Total,
    Trace,
    Transpose,
    factors,
    shape,
)
from bptt_verify.proof.kernel.theorems import Statement, Theorem, equation, replay, seal, statement
from bptt_verify.proof.kernel.traces import (
    rotate_trace,
    trace_of_multiple,
    trace_of_numbers,
    trace_of_sum,
    trace_of_transpose,
)

seal()

__all__ = [
    "Case",
    "Definition",
    "Entry",
    "Letter",
    "Mean",
    "Norm",
    "Ordered",
    "Statement",
    "Theorem",
    "Total",
    "Trace",
    "Transpose",
    "absolute",
    "assume",
    "at_least",
    "at_most_absolute",
    "between",
    "both_ways",
    "combine",
    "constants_out",
    "discharge",
    "distribute",
    "empty_product",
    "empty_sum",
    "entries",
    "equal",
    "equation",
    "exchange",
    "factors",
    "first_term",
    "free",
    "hypothesis",
    "implies",
    "impossible",
    "independence",
    "index",
    "induction",
    "instantiate",
    "is_random",
    "last_term",
    "mean_of_constant",
    "mean_of_sum",
    "mean_of_transpose",
    "norm_of_multiple",
    "norm_of_number",
    "not_negative",
    "one_factor",
    "one_term",
    "peel_newest",
    "peel_oldest",
    "power",
    "reindex",
    "replay",
    "resize",
    "rewrite",
    "ring",
    "root",
    "rotate_trace",
    "shape",
    "speaks_of_means",
    "specialise",
    "split_sum",
    "statement",
    "submultiplicative",
    "substitute",
    "sum_of_sums",
    "sum_of_zeros",
    "symmetric",
    "take_out",
    "trace_of_multiple",
    "trace_of_numbers",
    "trace_of_sum",
    "trace_of_transpose",
    "transitive",
    "transposition",
    "triangle",
    "unfold",
    "weaken",
]
