"""Proofs for every T: a small trusted kernel of rules, and the claims proved with it.

``kernel`` is what must be trusted. ``calculation`` writes proofs, ``claims`` are the proofs, ``printing``
and ``explanation`` show them, ``evaluation`` looks at what was proved with matrices of integers, and
``counterexamples`` at what is false.
"""

from bptt_verify.proof.claims.catalogue import CLAIMS, labels
from bptt_verify.proof.claims.parts import GeneralClaim, Part
from bptt_verify.proof.counterexamples import Counterexample, counterexample
from bptt_verify.proof.evaluation import evaluated
from bptt_verify.proof.explanation import Chain, Link, explained
from bptt_verify.proof.kernel import Statement, Theorem, replay

__all__ = [
    "CLAIMS",
    "Chain",
    "Counterexample",
    "GeneralClaim",
    "Link",
    "Part",
    "Statement",
    "Theorem",
    "counterexample",
    "evaluated",
    "explained",
    "labels",
    "replay",
]
