"""Every known mistake in every catalogue cell is refuted by the public check, and named."""

import numpy as np
import pytest
from mistakes_for_tests import function_of

from bptt_verify import check_gradient
from bptt_verify.cells import CATALOGUE
from bptt_verify.codegen.kernel import derive_programs
from bptt_verify.derivation import adjoint
from bptt_verify.mutants import mutants
from bptt_verify.program import evaluate
from bptt_verify.verify import recurrence_cases, recurrence_problem
from bptt_verify.verify.adapters import Adapted

from bptt_verify.check import caught  # isort: skip


SHARE = {"elman": 1, "elman_charlm": 3}  # of the latter every third, since the public check takes a second
FULL = [(n, m) for n, every in SHARE.items() for m in mutants(adjoint(CATALOGUE[n].program))[::every]]


@pytest.mark.parametrize(("name", "mutant"), FULL, ids=lambda x: getattr(x, "name", x))
def test_each_mutant_is_refuted_and_diagnosed(name, mutant):
    report = check_gradient(function_of(mutant.program), CATALOGUE[name], rng=1)
    assert report.verdict == "refuted"
    assert all(f.block and f.case for f in report.findings)
    assert mutant.description in (report.diagnosis or ""), report


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_mutant_of_the_kernels_program_is_caught(name):
    rec = CATALOGUE[name]
    programs = derive_programs(rec.program)
    wrong = {m.name: function_of(m.program) for m in mutants(programs.loss_and_grad)}
    assert len(wrong) > 12
    rng = np.random.default_rng(2)
    problem = recurrence_problem(rec, Adapted(lambda **arrays: None, None))
    cases = list(recurrence_cases(rec, rng))
    functions = {k: (lambda arrays, f=f: f(**arrays)) for k, f in wrong.items()}
    functions["right"] = lambda arrays: function_of(programs.loss_and_grad)(**arrays)
    assert set(wrong) == set(caught(functions, problem, cases, rng))


@pytest.mark.parametrize("name", CATALOGUE)
def test_mutants_keep_the_loss_and_the_shapes(name):
    right = adjoint(CATALOGUE[name].program)
    case = next(iter(recurrence_cases(CATALOGUE[name], np.random.default_rng(3))))
    expected = evaluate(right, case.arrays)
    for m in mutants(right):
        values = evaluate(m.program, case.arrays)
        for (key, a), (other, b) in zip(right.results, m.program.results, strict=True):
            assert key == other
            assert np.shape(values[b]) == np.shape(expected[a])
        assert values[dict(m.program.results)["loss"]] == expected[dict(right.results)["loss"]]
