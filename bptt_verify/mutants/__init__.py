"""Deliberately wrong gradients: they test the checks, and name the mistake in a user's numbers."""

from bptt_verify.mutants.catalogue import mutants
from bptt_verify.mutants.mutant import Mutant

__all__ = ["Mutant", "mutants"]
