"""Programs: the order of computation, evaluation, and text that is the same in every process."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from cells_for_tests import ALL_CELLS, draw

from bptt_verify.cells import elman, lstm, lstm_stack
from bptt_verify.derivation import adjoint, cotangent_adjoint, jacobian, tangent
from bptt_verify.language import Input, State, Step, dot, recurrence
from bptt_verify.program import (
    BATCH,
    TIME,
    Array,
    Carry,
    Contract,
    Pack,
    Peak,
    Pointwise,
    Program,
    Ref,
    Select,
    components,
    digest,
    evaluate,
    formula,
    listing,
    size_of,
    symbol,
)

HERE = Path(__file__).resolve().parent.parent
ROW = (TIME, BATCH, "n")
PASSES = {
    "forward": lambda p: p,
    "adjoint": adjoint,
    "vjp": cotangent_adjoint,
    "tangent": tangent,
    "jacobian": jacobian,
}


def pointwise(name, expr, *operands, labels=ROW):
    return Pointwise(name, labels, expr(*map(symbol, operands)), operands)


FEW = ("lstm_stack", "matrix_products", "onehot_everywhere", "twice_delayed", "attention", "no_output")


# ---- order ----


def loops(program):
    return [(part.direction, [e.name for e in part.equations]) for part in components(program)]


def test_what_does_not_recur_is_outside_of_the_loop():
    assert loops(elman.program) == [
        (0, ["W_hx_x"]),
        (1, ["W_hh_h", "a", "h"]),
        (0, ["W_qh_h"]),
        (0, ["o"]),
        (0, ["error"]),
        (0, ["square"]),
        (0, ["step_loss"]),
        (0, ["total_loss"]),
    ]


def test_the_adjoint_runs_backward_in_time():
    assert [d for d, _ in loops(adjoint(elman.program)) if d] == [1, -1]


def test_layers_have_loops_of_their_own():
    directions = [(d, "h" in names, "k" in names) for d, names in loops(lstm_stack.program) if d]
    assert directions == [(1, True, False), (1, False, True)]


@pytest.mark.parametrize(
    ("name", "derive"),
    [(name, PASSES[p]) for name in ALL_CELLS for p in ("forward", "adjoint")]
    + [(name, derive) for name in FEW for derive in PASSES.values()],
)
def test_everything_is_computed_once_and_before_it_is_read(name, derive):
    program = derive(ALL_CELLS[name].program)
    known = {a.name for a in program.arrays}
    for part in components(program):
        inside = {e.name for e in part.equations}
        for e in part.equations:
            for r in e.operands:
                assert r.name in known or (r.shift == -part.direction and r.name in inside), (e.name, r)
            assert e.name not in known
            known.add(e.name)
            if e.name in program.carry:
                known.add(program.carry[e.name].end)
    assert {e.name for e in program.equations} <= known
    assert all(name in known for _, name in program.results)


def test_a_loop_that_reads_both_neighbours_is_refused():
    back, ahead = Ref("u", ROW, -1), Ref("u", ROW, 1)
    program = Program(
        "both",
        (Array("u0", "initial", ROW[1:]), Array("x", "input", ROW)),
        (pointwise("u", lambda a, b: a + b, back, ahead),),
        (Carry("u", "u0", -1, "u_last"),),
        (),
    )
    with pytest.raises(ValueError, match=r"\['u'\] read both the previous and the next step"):
        components(program)


# ---- evaluation ----


def program_of(*equations, arrays=None, carries=()):
    return Program("p", arrays or (Array("x", "input", ROW),), equations, carries, ())


X = np.arange(12.0).reshape(2, 2, 3) - 5


def test_a_shifted_read_of_a_whole_array_starts_with_the_boundary():
    program = program_of(
        pointwise("u", lambda a: a + 1, Ref("x", ROW)),
        pointwise("v", lambda a: 2 * a, Ref("u", ROW, -1)),
        arrays=(Array("x", "input", ROW), Array("u0", "initial", ROW[1:])),
        carries=(Carry("u", "u0", -1, "u_last"),),
    )
    values = evaluate(program, {"x": X, "u0": np.full((2, 3), 7.0)})
    np.testing.assert_array_equal(values["v"][0], np.full((2, 3), 14.0))
    np.testing.assert_array_equal(values["v"][1], 2 * (X[0] + 1))
    np.testing.assert_array_equal(values["u_last"], X[1] + 1)


def test_a_backward_loop_starts_with_the_boundary_at_the_end():
    program = program_of(
        pointwise("u", lambda a, b: a + b, Ref("x", ROW), Ref("u", ROW, 1)),
        arrays=(Array("x", "input", ROW), Array("beyond", "zero", ROW[1:])),
        carries=(Carry("u", "beyond", 1, "u_first"),),
    )
    values = evaluate(program, {"x": X})
    np.testing.assert_array_equal(values["u"], np.cumsum(X[::-1], axis=0)[::-1])
    np.testing.assert_array_equal(values["u_first"], X.sum(axis=0))


def test_pack_select_and_peak():
    packed, x = ("T", "B", "2", "n"), Ref("x", ROW)
    program = program_of(
        pointwise("u", lambda a: -a, x),
        Pack("p", packed, (x, Ref("u", ROW)), 2),
        Select("second", ROW, (Ref("p", packed),), 2, 1, 2),
        Select("all", packed, (Ref("p", packed),), 2, 0, 2),
        Peak("m", (TIME, BATCH), (x,)),
    )
    values = evaluate(program, {"x": X + 1j})
    np.testing.assert_array_equal(values["second"], -(X + 1j))
    np.testing.assert_array_equal(values["all"], values["p"])
    np.testing.assert_array_equal(values["m"], X.max(axis=2))


def test_a_pointwise_value_has_its_full_shape():
    values = evaluate(program_of(Pointwise("one", ROW, sp.Integer(1), ())), {"x": X})
    np.testing.assert_array_equal(values["one"], np.ones((2, 2, 3)))


def test_classes_stand_for_one_hot_rows():
    arrays = (Array("c", "input", (TIME, BATCH, "n"), True), Array("w", "param", ("n",)))
    e = Contract("u", (TIME, BATCH), (Ref("c", ROW), Ref("w", ("n",))))
    values = evaluate(program_of(e, arrays=arrays), {"c": np.array([[2, 0]]), "w": np.array([5.0, 6.0, 7.0])})
    np.testing.assert_array_equal(values["u"], [[7.0, 5.0]])


def test_exact_numbers_stay_exact():
    def cell(x=Input("n"), h=State("n")):
        h = h / 3 + x * 0.1
        return Step(h=h, loss=dot(h, h))

    third = np.array([[[sp.Rational(1, 7)]]], dtype=object)
    arrays = {"x": third, "h0": third[0] * 2, "weights": np.array([[sp.Integer(1)]], dtype=object)}
    program = recurrence(cell).program
    values = evaluate(program, arrays, functions={}, number=lambda n: n)
    h = sp.Rational(2, 21) + sp.Rational(1, 70)
    assert values["h"].ravel()[0] == h
    assert values["total_loss"] == h**2


# ---- text ----


def test_formulas_read_as_written():
    text = {e.name: formula(e) for e in lstm.program.equations}
    assert text["W_ix_x"] == "W_ix_x_t = W_ix x_t"
    assert text["W_ih_h"] == "W_ih_h_t = W_ih h_{t-1}"
    assert text["i_pre"] == "i_pre_t = W_ix_x_t + W_ih_h_t + b_i"
    assert text["total_loss"] == "total_loss = Σ_{t,b} weights_t step_loss_t"
    back = {e.name: formula(e) for e in adjoint(elman.program).equations}
    assert back["W_hh_bar"] == "W_hh_bar = Σ_{t,b} a_bar_t h_{t-1}ᵀ"
    assert back["h_prev_bar"] == "h_prev_bar_t = W_hhᵀ a_bar_t"


def test_a_choice_is_written_with_its_conditions():
    x = Ref("x", ROW)
    leaky = pointwise("u", lambda a: sp.Piecewise((a, a > 0), (a / 10, True)) + 1, x)
    assert "{x_t if x_t > 0, else 0.1 x_t}" in formula(leaky)


def test_transposed_operands_are_marked():
    text = [formula(e) for e in ALL_CELLS["square_matrix_state"].program.equations]
    assert any("Aᵀ" in line and "M_{t-1}" in line for line in text)


@pytest.mark.parametrize("name", ALL_CELLS)
def test_listings_and_formulas_are_plain(name):
    program = ALL_CELLS[name].program
    text = listing(program)
    assert text.isascii() or name == "unicode_names"
    assert "0x" not in text
    for e in program.equations:
        assert formula(e).count("\n") == 0
        assert "Piecewise" not in formula(e) and "[T,B" not in formula(e)


def test_listings_tell_programs_apart():
    listings = {n: listing(replace(r.program, name="")) for n, r in ALL_CELLS.items()}
    assert len(set(listings.values())) == len(listings)
    assert digest(elman.program) != digest(lstm.program)
    assert len(digest(elman.program)) == 64


def test_a_listing_shows_every_part():
    p = elman.program
    for other in (
        replace(p, name="other"),
        replace(p, arrays=p.arrays[1:]),
        replace(p, carries=(replace(p.carries[0], shift=1),)),
        replace(p, equations=p.equations[:-1]),
        replace(p, equations=(*p.equations[:-1], replace(p.equations[-1], labels=(TIME,)))),
        replace(p, results=p.results[:-1]),
    ):
        assert listing(other) != listing(p)


def test_size_of_a_label():
    assert [size_of(x) for x in ("n", "n'", "n''", "4")] == ["n", "n", "n", "4"]


SCRIPT = """
import hashlib
from cells_for_tests import ALL_CELLS
from bptt_verify.codegen.kernel import generate
from bptt_verify.program import listing
for name in NAMES:
    rec = ALL_CELLS[name]
    for style in ("fast", "plain"):
        source = generate(rec, style=style).source
        print(name, style, hashlib.sha256((listing(rec.program) + source).encode()).hexdigest())
"""
SEEDED = ("lstm", "user_functions", "layer_norm", "onehot_everywhere", "powers")


def test_text_is_the_same_for_every_hash_seed():
    outputs = set()
    for seed in ("0", "4242"):
        env = os.environ | {
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": os.pathsep.join(["", str(HERE), str(HERE.parent)]),
        }
        script = f"NAMES = {SEEDED!r}\n{SCRIPT}"
        done = subprocess.run(
            [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
        )
        outputs.add(done.stdout)
    (text,) = outputs
    assert len(text.splitlines()) == 2 * len(SEEDED)


def test_draw_meets_every_declaration():
    for rec in ALL_CELLS.values():
        arrays = draw(rec, np.random.default_rng(0))
        assert set(arrays) == {a.name for a in rec.program.arrays}
