"""Deliberately wrong gradients: they test the checks, and name the mistake in a user's numbers."""

from bptt_verify.mutants.catalogue import Mutant, mutants

__all__ = ["Mutant", "mutants"]
