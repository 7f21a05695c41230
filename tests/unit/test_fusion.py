"""Gate fusion: stacked products give the same results, and no two of them are left side by side."""

import numpy as np
import pytest
from cells_for_tests import ALL_CELLS, draw

import bptt_verify as bv
from bptt_verify.cells import gru, lstm
from bptt_verify.codegen.fusion import fuse, joined
from bptt_verify.derivation import adjoint, tangent
from bptt_verify.program import TIME, Contract, Pack, Select, components, evaluate, listing


def parameter_products(program):
    """Products of a parameter matrix with a value of every step: (value and labels, equation)."""
    for e in program.equations:
        if isinstance(e, Contract) and len(e.operands) == 2 and TIME in e.labels:
            params = [
                r for r in e.operands if r.name in program.array and program.array[r.name].role == "param"
            ]
            moving = [r for r in e.operands if TIME in r.labels]
            if len(params) == len(moving) == 1 and len(params[0].labels) == 2 and len(e.labels) == 3:
                yield (moving[0], params[0].labels, e.labels), params[0].name


@pytest.mark.parametrize("name", ALL_CELLS)
def test_fusing_preserves_every_result_and_gradient(name):
    rec = ALL_CELLS[name]
    arrays = draw(rec, np.random.default_rng(0), 3, 2, scale=0.7)
    for derive in (lambda p: p, adjoint):
        plain, fused = derive(rec.program), derive(fuse(rec.program))
        values, again = evaluate(plain, arrays), evaluate(fused, arrays)
        assert [k for k, _ in plain.results] == [k for k, _ in fused.results]
        for (_, one), (_, other) in zip(plain.results, fused.results, strict=True):
            wanted = values[one]
            assert again[other].shape == wanted.shape
            assert np.max(np.abs(again[other] - wanted)) <= 1e-12 * np.max(np.abs(wanted))


@pytest.mark.parametrize("name", ALL_CELLS)
def test_no_two_products_that_could_be_one_are_left(name):
    fused = fuse(ALL_CELLS[name].program)
    by_key = {}
    for key, param in parameter_products(fused):
        by_key.setdefault(key, []).append(param)
    assert [names for names in by_key.values() if len(set(names)) == len(names) > 1] == []


@pytest.mark.parametrize("name", ALL_CELLS)
def test_fused_programs_are_well_formed(name):
    program = ALL_CELLS[name].program
    fused = fuse(program)
    assert fused.arrays == program.arrays
    assert [c.boundary for c in fused.carries] == [c.boundary for c in program.carries]
    components(fused)
    known = {a.name for a in fused.arrays} | {c.end for c in fused.carries}
    for e in fused.equations:
        assert all(r.name in known or r.shift for r in e.operands), e.name
        known.add(e.name)
        if isinstance(e, Pack):
            assert sum(e.slots) == int(e.labels[e.axis])
        if isinstance(e, Select):
            (source,) = e.operands
            assert 0 <= e.low < e.high <= int(source.labels[e.axis])


def test_four_gates_become_one_product_per_operand():
    fused = fuse(lstm.program)
    assert len(list(parameter_products(lstm.program))) == 9
    packs = [e for e in fused.equations if isinstance(e, Pack)]
    assert [p.slots for p in packs if len(p.labels) == 3] == [(1, 1, 1, 1)] * 2
    assert len(list(parameter_products(fused))) == 1  # the readout


def test_sigmoid_gates_stand_side_by_side():
    fused = fuse(lstm.program)
    (pack,) = (e for e in fused.equations if isinstance(e, Pack) and "W_ix" in [r.name for r in e.operands])
    members = [r.name for r in pack.operands]
    assert {"W_ix", "W_fx", "W_ox"} in ({*members[:3]}, {*members[1:]})


def test_the_reset_product_of_the_gru_joins_the_others():
    fused = fuse(gru.program)
    (pack,) = (e for e in fused.equations if isinstance(e, Pack) and "W_nh" in [r.name for r in e.operands])
    assert len(pack.operands) == 3


def test_a_parameter_used_twice_is_not_stacked_with_itself():
    program = ALL_CELLS["used_twice"].program
    assert not [e for e in fuse(program).equations if isinstance(e, Pack)]


def test_fusing_is_deterministic_and_done_once():
    for rec in (lstm, gru):
        fused = fuse(rec.program)
        assert listing(fuse(rec.program)) == listing(fused)
        assert listing(fuse(fused)) == listing(fused)


def test_tangents_of_fused_programs_agree():
    arrays = draw(lstm, np.random.default_rng(0), 3, 2)
    rng = np.random.default_rng(1)
    values = []
    moves = {a.name: rng.normal(size=np.shape(arrays[a.name])) for a in lstm.program.arrays}
    for program in (lstm.program, fuse(lstm.program)):
        dotted = tangent(program)
        directions = {
            a.name: moves[a.name.removesuffix("_dot")] for a in dotted.arrays if a.role == "tangent"
        }
        found = evaluate(dotted, {**arrays, **directions})
        values.append({k: found[v] for k, v in dotted.results})
    for name, wanted in values[0].items():
        assert np.max(np.abs(values[1][name] - wanted)) <= 1e-12 * np.max(np.abs(wanted))


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["W_ix", "W_fx", "W_gx", "W_ox"], "W_ifgox"),
        (["b_i", "b_f"], "b_if"),
        (["a", "s"], "a_s"),
        (["i", "f"], "i_f"),
        (["x", "xx"], "x_xx"),
        (["p_in", "p_out"], "p_in_out"),
    ],
)
def test_names_of_packs(names, wanted):
    found = joined(names)
    assert found.isidentifier()
    assert found == wanted


def test_the_tangent_of_fused_gates_that_cancel_has_their_shape():
    @bv.recurrence
    def cancelling(
        x=bv.Input("d"), y=bv.Target("n"), h=bv.State("n"),
        P=bv.Param("n d"), Q=bv.Param("n n"), R=bv.Param("n n"), p=bv.Param("n"), r=bv.Param("n"),
    ):  # fmt: skip
        u = P @ x + Q @ h + p
        first = bv.sigmoid(Q @ u + p)
        v = (1 - first) * h + first * h
        second = bv.sigmoid(R @ u + r)
        w = (1 - second) * h + second * h
        h = bv.tanh(v + w + h)
        return bv.Step(h=h, output=h, loss=bv.squared_error(h, y))

    rng = np.random.default_rng(0)
    shapes = {"x": (3, 2, 2), "y": (3, 2, 3), "P": (3, 2), "Q": (3, 3), "R": (3, 3), "p": (3,), "r": (3,)}
    arrays = {k: rng.normal(size=s) for k, s in shapes.items()} | {"h0": rng.normal(size=(2, 3))}
    tangents = {k: rng.normal(size=v.shape) for k, v in arrays.items() if k != "y"}
    for style in ("plain", "fast"):
        kernel = bv.generate(cancelling, style=style)
        forward, _, _ = kernel.jvp(arrays, tangents)
        _, grads = kernel.loss_and_grad(**arrays)
        assert forward == pytest.approx(sum(np.sum(grads[k] * t) for k, t in tangents.items()))
