"""Hoisting, layout and calls: what each pass promises, and that it preserves results."""

import numpy as np
import pytest
import sympy as sp

import bptt_verify as bv
from bptt_verify.cells import CATALOGUE
from bptt_verify.codegen.calls import OUT, Calls, in_place
from bptt_verify.codegen.fusion import fuse
from bptt_verify.codegen.hoisting import hoist
from bptt_verify.codegen.products import Operand, einsum, matrix_product
from bptt_verify.codegen.storage import layout
from bptt_verify.derivation import adjoint
from bptt_verify.program import TIME, Pointwise, components, evaluate, symbol
from bptt_verify.verify import recurrence_cases


def arrays_of(rec):
    return list(recurrence_cases(rec, np.random.default_rng(0)))[2].arrays


@pytest.mark.parametrize("name", CATALOGUE)
def test_hoisting_preserves_results(name):
    rec = CATALOGUE[name]
    before = adjoint(fuse(rec.program))
    after = hoist(before)
    arrays = arrays_of(rec)
    a, b = evaluate(before, arrays), evaluate(after, arrays)
    for key, value in dict(before.results).items():
        np.testing.assert_allclose(b[dict(after.results)[key]], a[value], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", CATALOGUE)
def test_after_hoisting_no_loop_adds_two_terms_that_it_does_not_change(name):
    program = hoist(fuse(CATALOGUE[name].program))
    for part in components(program):
        inside = {e.name for e in part.equations}
        for e in part.equations if part.direction else ():
            if isinstance(e, Pointwise) and e.expr.is_Add:
                operands = {symbol(r): r for r in e.operands}
                fixed = [
                    t
                    for t in e.expr.args
                    if t.free_symbols and not {operands[s].name for s in t.free_symbols} & inside
                ]
                moving = [t for t in fixed if any(TIME in operands[s].labels for s in t.free_symbols)]
                assert len(fixed) < 2 or not moving


def test_hoisting_moves_the_bias_of_an_elman_cell_out_of_the_loop():
    program = hoist(bv.cells.elman.program)
    assert str(program.equation["a_in"].expr) != ""
    assert {r.name for r in program.equation["a_in"].operands} == {"W_hx_x", "b_h"}
    assert "b_h" not in {r.name for r in program.equation["a"].operands}


def test_layout_gives_every_value_a_place_and_slots_point_at_packs():
    program = adjoint(fuse(bv.cells.lstm.program))
    stores = layout(program, components(program))
    assert set(stores) == {a.name for a in program.arrays} | {e.name for e in program.equations}
    for store in stores.values():
        if store.kind == "slot":
            assert store.low < store.high <= int(program.labels(store.source)[store.axis])
    assert stores["h"].kind == stores["c"].kind == "carried"
    assert stores["h_prev_bar"].kind == "rolling"


u, v, w = sp.symbols("u v w", real=True)


@pytest.mark.parametrize(
    "expr",
    [
        u + v, u - v, -u - v, 1 - u**2, u * (1 - v**2) * w, -u * v, u / v, 1 / (1 + u**2), (u + v) * (u - v),
        3 * u - 2, sp.Rational(1, 3) * u * v, sp.sqrt(1 + u**2), sp.tanh(u) * v + sp.exp(-w), u**3, 1 / u**2,
        -u, u * v - w * (1 - u), u * sp.exp(-(v**2)) / w,
        (u - v) / (2 * w), -3 / u, 2 - (u - v),
    ],
    ids=str,
)  # fmt: skip
def test_calls_compute_the_expression(expr):
    """The sequence of in-place calls against SymPy's own number at random points."""
    assert in_place(expr)
    rng = np.random.default_rng(0)
    point = {s: rng.uniform(0.5, 1.5, size=4) for s in (u, v, w)}
    memory = {OUT: np.empty(4)}
    plan = Calls(expr, {u: 0, v: 1, w: 2})
    for call in plan.calls:
        args = [
            point[a] if isinstance(a, sp.Symbol) else memory[a] if a in memory else float(a)
            for a in call.args
        ]
        target = memory.setdefault(call.out, np.empty(4))
        if call.function == "np.copyto":
            target[...] = args[0]
        else:
            getattr(np, call.function.removeprefix("np."))(*args, out=target)
    for k in range(4):
        exact = float(expr.subs({s: sp.Float(float(x[k]), 30) for s, x in point.items()}))
        assert memory[OUT][k] == pytest.approx(exact, rel=1e-13)
    assert plan.temporaries <= 2


@pytest.mark.parametrize(
    ("a", "b", "out"),
    [
        (("T", "B", "d"), ("n", "d"), ("T", "B", "n")),
        (("n", "d"), ("T", "B", "d"), ("T", "B", "n")),
        (("T", "B", "n"), ("T", "B", "d"), ("n", "d")),
        (("B", "n"), ("n", "m"), ("B", "m")),
        (("B", "n"), ("m", "n"), ("B", "m")),
        (("n",), ("n", "m"), ("m",)),
        (("T", "B", "4", "n"), ("4", "n", "d"), ("T", "B", "d")),
        (("T", "B"), ("T", "B"), ()),
    ],
)
def test_matrix_products_mean_what_einsum_means(a, b, out):
    sizes = {"T": 3, "B": 2, "n": 4, "d": 5, "m": 6, "4": 4}
    rng = np.random.default_rng(1)
    x, y = (rng.normal(size=[sizes[k] for k in labels]) for labels in (a, b))
    product = matrix_product(Operand("x", a), Operand("y", b), out, lambda label: str(sizes[label]))
    text = f"({product.left} @ {product.right}).reshape({[sizes[k] for k in out]})"
    names = {"x": x, "y": y, "np": np}
    expected = eval(einsum([Operand("x", a), Operand("y", b)], out), names)
    np.testing.assert_allclose(eval(text, names), expected, rtol=1e-13)


def test_a_product_that_keeps_a_shared_label_is_no_matrix_product():
    a, b = Operand("x", ("T", "B", "n")), Operand("y", ("T", "B", "n"))
    assert matrix_product(a, b, ("T", "B"), str) is None


@bv.recurrence
def turned(
    x=bv.Input("d"), y=bv.Target("q"), h=bv.State("n"), U=bv.Param("n n"), V=bv.Param("n d"), r=bv.Param("")
):
    A = U.T
    h = bv.tanh(A.T @ h + V.T.T @ x + A @ (U.T.T @ h))
    o = bv.sum(h)
    return bv.Step(h=h, output=o, loss=(o - bv.mean(y)) ** 2 + r * r)


@pytest.mark.parametrize("style", ["fast", "plain"])
def test_a_transpose_of_a_transpose_is_the_matrix_itself(style):
    kernel, arrays = bv.generate(turned, style=style), arrays_of(turned)
    loss, _, states = bv.run(turned, arrays)
    trace = kernel.forward(**arrays)
    np.testing.assert_allclose(trace.states["h"], states["h"], rtol=1e-12)
    np.testing.assert_allclose(trace.loss, loss, rtol=1e-12)
    assert bv.check_gradient(kernel.loss_and_grad, turned, rng=0).verdict == "verified"


def test_a_gradient_that_is_zero_is_an_array_too():
    grads = bv.generate(turned).vjp(arrays_of(turned), {"output": np.ones((5, 3))})
    assert isinstance(grads["r"], np.ndarray)
    assert grads["r"].shape == () and grads["r"] == 0 and grads["r"].dtype == float


def test_recurrences_and_kernels_can_be_keys():
    kernel = bv.generate(turned)
    assert len({turned: 1, kernel: 2}) == 2


def test_a_workspace_of_the_callers_holds_the_buffers_and_nothing_returned():
    kernel, arrays, workspace = bv.generate(bv.cells.lstm), arrays_of(bv.cells.lstm), {}
    _, grads = kernel.loss_and_grad(**arrays, workspace=workspace)
    assert workspace
    assert not any(np.shares_memory(g, b) for g in grads.values() for b in workspace.values())
