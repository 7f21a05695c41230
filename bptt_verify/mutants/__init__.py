"""Deliberately wrong gradients: to test that checks catch them, and to name the mistake in a user's numbers."""

from bptt_verify.mutants.catalogue import Mutant, mutants

__all__ = ["Mutant", "mutants"]
