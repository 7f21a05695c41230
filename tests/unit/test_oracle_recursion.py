"""Rung 1's look at one backward step: right for every cell, and able to fail."""

from dataclasses import replace

import pytest
from cells_for_tests import ALL_CELLS

import bptt_verify as bv
from bptt_verify.certification.rungs import Subject, proved
from bptt_verify.derivation import adjoint_step, jacobian, step_loss
from bptt_verify.oracle import CutStep, recursion_evidence
from bptt_verify.program import Contract, Pointwise

SIZES = {"n": 2, "m": 3, "q": 2, "d": 3, "v": 3, "dtype": 3, "h_prev": 3}  # 2 for any other


def cut(one):
    return CutStep(one.program, {key: a.name for key, a in one.given.items()})


def evidence(rec, step=None, loss=None, local=None):
    p = rec.program
    words = {w for d in rec.declarations.values() for w in d.sizes}
    return recursion_evidence(
        p,
        step or cut(adjoint_step(p)),
        loss or cut(step_loss(p)),
        local or jacobian(p),
        {w: SIZES.get(w, 2) for w in words},
    )


@pytest.mark.parametrize("name", ALL_CELLS)
def test_every_cell_sends_back_what_t2_says(name):
    found = evidence(ALL_CELLS[name])
    assert found.verdict == "verified", found
    assert found.how == ("checked" if "exactly" in found.summary else "tested")


def changed(one, name, change):
    equations = tuple(change(e) if e.name == name else e for e in one.program.equations)
    return cut(replace(one, program=replace(one.program, equations=equations)))


def test_a_missing_transpose_is_refuted_with_its_place():
    step = adjoint_step(bv.cells.elman.program)

    def untransposed(e):
        a_bar, matrix = sorted(e.operands, key=lambda r: len(r.labels), reverse=True)
        return Contract(e.name, e.labels, (a_bar, replace(matrix, labels=matrix.labels[::-1])))

    found = evidence(bv.cells.elman, step=changed(step, "h_prev_bar", untransposed))
    assert found.verdict == "refuted" and found.how == "checked"
    assert found.findings[0].block == "h0" and "T2 says" in str(found.findings[0])


def test_a_wrong_slope_a_missing_direct_part_and_a_wrong_jacobian_are_refuted():
    rec = bv.cells.lstm
    step, loss, local = adjoint_step(rec.program), step_loss(rec.program), jacobian(rec.program)

    def doubled(e):
        return replace(e, expr=2 * e.expr)

    assert evidence(rec, step=changed(step, "o_pre_bar", doubled)).verdict == "refuted"
    name = dict(loss.program.results)["h"]
    twice = replace(loss.program.equation[name], operands=loss.program.equation[name].operands[::-1])
    assert evidence(rec, loss=changed(loss, name, lambda e: twice)).verdict == "verified"  # the same product
    assert evidence(rec, loss=changed(loss, "error_bar", doubled)).verdict == "refuted"
    wrong = dict(local.results)["dc/dc"]
    equations = tuple(
        doubled(e) if e.name == wrong and isinstance(e, Pointwise) else e for e in local.equations
    )
    assert evidence(rec, local=replace(local, equations=equations)).verdict == "refuted"


def test_a_program_that_cannot_be_computed_is_inconclusive():
    step = cut(adjoint_step(bv.cells.elman.program))
    broken = replace(step, program=replace(step.program, equations=step.program.equations[3:]))
    assert evidence(bv.cells.elman, step=broken).verdict == "inconclusive"


def test_rung_1_is_proved_and_names_what_was_only_checked():
    found = proved(Subject(bv.generate(bv.cells.gru), 0))
    assert [(e.how, e.verdict) for e in found] == [
        ("proved", "verified"),
        ("proved", "verified"),
        ("checked", "verified"),
    ]


def test_rung_1_is_refuted_by_a_proof_that_fails(monkeypatch):
    from bptt_verify.certification import rungs
    from bptt_verify.errors import ProofError

    def fails(part, seed=0):
        raise ProofError("replay: no")

    monkeypatch.setattr(rungs.CLAIMS["T1"].parts[0].__class__, "check", fails)
    found = proved(Subject(bv.generate(bv.cells.elman), 0))
    assert [e.verdict for e in found] == ["refuted", "refuted", "verified"]
    assert "replay: no" in str(found[0].findings[0])
