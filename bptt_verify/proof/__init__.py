"""Proofs for every T: a small kernel of rules, and the claims proved with it."""
