"""A gradient test finds every mutant of a cell, and refutes no right kernel of a random recurrence."""

import pytest
from hypothesis import HealthCheck, given, settings

import bptt_verify as bv
from bptt_verify.derivation import adjoint
from bptt_verify.language import inward
from bptt_verify.mutants import mutants
from bptt_verify.program import evaluate
from bptt_verify.testing import strategies
from bptt_verify.testing.examples import Limits
from bptt_verify.testing.judging import Judge, verdict_of
from bptt_verify.testing.ofrecurrence import OfRecurrence


def gradient_of(program, rec):
    """A gradient function that evaluates a program."""
    blocks = {*rec.params, *rec.inputs, *rec.initial}

    def fn(**arrays):
        values = evaluate(program, inward(arrays))
        found = {k: values[v] for k, v in program.results}
        return float(found["loss"]), {k: g for k, g in found.items() if k in blocks}

    return fn


@pytest.mark.parametrize("name", ["linear", "elman", "gru"])
def test_every_mutant_is_caught(name):
    rec = getattr(bv.cells, name)
    right = adjoint(rec.program)
    # Drawn once, as a profile of 100 examples would.
    drawn = []

    @settings(max_examples=100, deadline=None, database=None, derandomize=True)
    @given(strategies.examples(rec))
    def collect(example):
        drawn.append(example)

    collect()

    def caught(fn):
        judge = Judge(fn, OfRecurrence(rec, Limits(), "mean"))
        return any(verdict_of(judge.judge(e)) == "refuted" for e in drawn)

    assert not caught(gradient_of(right, rec))
    assert [m.name for m in mutants(right) if not caught(gradient_of(m.program, rec))] == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rec=strategies.recurrences(), seed=strategies.st.integers(0, 2**32 - 1))
def test_right_kernels_of_random_recurrences_are_not_refuted(rec, seed):
    judge = Judge(bv.generate(rec).loss_and_grad, OfRecurrence(rec, Limits(), "mean"))
    for gain in (1.0, 3.0):
        example = strategies.Example(4, 2, {"n": 3, "d": 2, "m": 2}, gain, "uneven", seed)
        evidence = judge.judge(example)
        assert verdict_of(evidence) != "refuted", evidence
