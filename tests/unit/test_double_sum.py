"""The kernel that makes every product of Jacobians, against the recursion."""

import ast
import pickle
import subprocess
import sys

import numpy as np
import pytest
from cells_for_tests import ALL_CELLS, draw

from bptt_verify.cells import CATALOGUE, elman, linear, lstm, lstm_stack
from bptt_verify.certification import certify
from bptt_verify.codegen.kernel import generate, load
from bptt_verify.errors import ArrayError, UnsupportedError, UsageError
from bptt_verify.verify import recurrence_cases

STYLES = ("fast", "plain")
KERNELS = {}


def kernel(rec, method="double_sum", style="fast"):
    key = (rec.name, method, style)
    if key not in KERNELS:
        KERNELS[key] = generate(rec, method=method, style=style)
    return KERNELS[key]


def arrays_of(rec, T=5, B=2, seed=0):
    return draw(rec, np.random.default_rng(seed), T, B, scale=0.7)


def error(found, wanted):
    """The largest error of a block, relative to the block's largest entry."""
    assert found.keys() == wanted.keys()
    assert all(found[k].shape == g.shape and found[k].dtype == g.dtype for k, g in wanted.items())
    return max(np.abs(found[k] - g).max() / (np.abs(g).max() or 1.0) for k, g in wanted.items())


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", ALL_CELLS)
def test_it_agrees_with_the_recursion(name, style):
    rec = ALL_CELLS[name]
    for steps, batch in ((1, 1), (1, 3), (2, 1), (5, 2), (9, 3)):
        arrays = arrays_of(rec, steps, batch)
        loss, grads = kernel(rec, style=style).loss_and_grad(**arrays)
        wanted_loss, wanted = kernel(rec, "recursion").loss_and_grad(**arrays)
        assert loss == pytest.approx(wanted_loss, rel=1e-13)
        assert error(grads, wanted) <= 1e-13


@pytest.mark.parametrize("name", CATALOGUE)
def test_it_agrees_on_telling_inputs(name):
    """Vanishing, saturated, growing; weights of both signs; 60 steps."""
    rec = CATALOGUE[name]
    for case in recurrence_cases(rec, np.random.default_rng(3)):
        _, grads = kernel(rec).loss_and_grad(**case.arrays)
        _, wanted = kernel(rec, "recursion").loss_and_grad(**case.arrays)
        assert error(grads, wanted) <= 1e-13, case.name


MISTAKES = {
    "order of the product": ("product = J[s] @ product", "product = product @ J[s]"),
    "missing transpose": ('"bij,bi->bj"', '"bij,bj->bi"'),
    "one factor too many": ("range(t + 1, len(J))", "range(t, len(J))"),
    "last term missing": ("range(t + 1, len(J))", "range(t + 1, len(J) - 1)"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("rec", [elman, lstm, lstm_stack], ids=lambda r: r.name)
def test_a_mistake_in_the_double_sum_is_noticed(rec, mistake):
    right, wrong = MISTAKES[mistake]
    source = kernel(rec).source
    assert source.count(right) == 1
    broken = load(source.replace(right, wrong), f"<{rec.name}, {mistake}>")
    arrays = arrays_of(rec)
    _, wanted = kernel(rec, "recursion").loss_and_grad(**arrays)
    assert error(broken["loss_and_grad"](**arrays)[1], wanted) > 1e-4


def test_a_loss_that_reads_the_previous_state_counts_in_the_step_before():
    rec = ALL_CELLS["output_is_previous_state"]
    arrays, source, right = arrays_of(rec), kernel(rec).source, 'c[s][:-1] += grads[f"{s}@-1"][1:]'
    assert source.count(right) == 1
    broken = load(source.replace(right, "pass"), "<c_t without ∂L_{t+1}/∂h_t>")
    _, wanted = kernel(rec, "recursion").loss_and_grad(**arrays)
    assert error(broken["loss_and_grad"](**arrays)[1], wanted) > 1e-2


def test_a_product_that_overflows_spoils_it_even_where_no_loss_meets_it():
    """T4: a unit that triples itself and that neither inputs nor the readout know; 3⁸¹ overflows float32."""
    arrays = arrays_of(linear, T=90, B=1)
    arrays["W_hh"], arrays["h0"][:, 2] = np.diag([0.5, 0.5, 3.0]), 0
    arrays["W_hx"][2], arrays["W_qh"][:, 2] = 0, 0
    single = {n: a.astype(np.float32) for n, a in arrays.items()}
    one, other = (kernel(linear, m).loss_and_grad(**arrays)[1] for m in ("double_sum", "recursion"))
    assert error(one, other) <= 1e-13  # double precision holds 3⁸⁹
    with np.errstate(over="ignore", invalid="ignore"):
        _, spoiled = kernel(linear).loss_and_grad(**single)
    _, grads = kernel(linear, "recursion").loss_and_grad(**single)
    assert all(np.isfinite(g).all() for g in grads.values())
    assert not np.isfinite(spoiled["h0"]).all()


class Counted(np.ndarray):
    """An array that counts its matrix products."""

    products = 0

    def __matmul__(self, other):
        Counted.products += 1
        return np.asarray(self) @ other


@pytest.mark.parametrize("T", [1, 2, 3, 10])
def test_every_product_of_jacobians_is_made(T):
    J, c = np.ones((T, 2, 3, 3)).view(Counted), np.ones((T, 2, 3))
    Counted.products = 0
    kernel(elman).namespace["_closed_sum"](J, c)
    assert Counted.products == T * (T - 1) // 2


@pytest.mark.parametrize("name", CATALOGUE)
def test_float32_in_gives_float32_out(name):
    rec, k = CATALOGUE[name], kernel(CATALOGUE[name])
    arrays = arrays_of(rec)
    single = {n: a if n in rec.onehot else a.astype(np.float32) for n, a in arrays.items()}
    loss, grads = k.loss_and_grad(**single)
    _, wanted = k.loss_and_grad(**arrays)
    assert {loss.dtype, *(g.dtype for g in grads.values())} == {np.dtype(np.float32)}
    for block, g in grads.items():
        assert np.abs(g - wanted[block]).max() <= 1e-4 * np.abs(wanted[block]).max()


@pytest.mark.parametrize("name", CATALOGUE)
def test_complex_arrays_give_the_derivative_along_a_direction(name):
    rec, arrays = CATALOGUE[name], arrays_of(CATALOGUE[name])
    k, rng = kernel(rec), np.random.default_rng(1)
    for block, gradient in k.loss_and_grad(**arrays)[1].items():
        direction = rng.normal(size=gradient.shape)
        loss, _ = k.loss_and_grad(**{**arrays, block: arrays[block] + 1e-30j * direction})
        terms = gradient * direction
        assert abs(loss.imag / 1e-30 - terms.sum()) <= 1e-12 * np.abs(terms).sum()


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("rec", [elman, lstm, ALL_CELLS["square_matrix_state"]], ids=lambda r: r.name)
def test_inputs_are_untouched_and_results_are_new(rec, style):
    arrays, k = arrays_of(rec), kernel(rec, style=style)
    before = {n: np.array(a) for n, a in arrays.items()}
    loss, grads = k.loss_and_grad(**arrays)
    kept = {n: g.copy() for n, g in grads.items()}
    again = k.loss_and_grad(**arrays)
    assert again[0] == loss
    for n, g in again[1].items():
        np.testing.assert_array_equal(g, kept[n])
        assert not any(np.shares_memory(g, a) for a in (*arrays.values(), *grads.values()))
        g[...] = np.nan
    for n, a in arrays.items():
        np.testing.assert_array_equal(a, before[n])
    assert k.loss_and_grad(**arrays)[0] == loss


def test_defaults_and_a_workspace_of_the_callers():
    arrays = arrays_of(elman)
    full = {**arrays, "weights": np.full((5, 2), 1 / 10), "h0": np.zeros((2, 3))}
    short = {n: a for n, a in arrays.items() if n not in ("weights", "h0")}
    _, wanted = kernel(elman).loss_and_grad(**full)
    for grads in (
        kernel(elman).loss_and_grad(**short)[1],
        kernel(elman).loss_and_grad(**short, workspace={})[1],
        kernel(elman, style="plain").loss_and_grad(**short, weights=None, h0=None)[1],
    ):
        assert error(grads, wanted) <= 1e-13


def test_forward_is_that_of_the_recursion():
    arrays = arrays_of(lstm)
    one, other = kernel(lstm).forward(**arrays), kernel(lstm, "recursion").forward(**arrays)
    assert one.loss == other.loss
    np.testing.assert_array_equal(one.states["c"], other.states["c"])


@pytest.mark.parametrize("function", ["vjp", "jvp"])
def test_it_has_no_vjp_and_no_jvp_and_says_so(function):
    with pytest.raises(
        UnsupportedError, match=rf"elman\.{function}: method='double_sum' .*expected method='recursion'"
    ):
        getattr(kernel(elman), function)(arrays_of(elman), {})


def test_wrong_methods_and_arrays_are_refused():
    with pytest.raises(UsageError, match=r"method='sum'; expected one of 'recursion', 'double_sum'"):
        generate(elman, method="sum")
    arrays = arrays_of(elman)
    with pytest.raises(ArrayError, match=r"elman\.loss_and_grad: missing array 'W_hh'"):
        kernel(elman).loss_and_grad(**{n: a for n, a in arrays.items() if n != "W_hh"})
    with pytest.raises(ArrayError, match=r"x\[:, None, :\]"):
        kernel(elman).loss_and_grad(**{**arrays, "x": arrays["x"][:, 0]})


# ---- the text ----


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", ALL_CELLS)
def test_source_is_plain_python_with_few_imports(name, style):
    source = kernel(ALL_CELLS[name], style=style).source
    tree = ast.parse(source)
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    modules = {a.name for n in imports if isinstance(n, ast.Import) for a in n.names}
    modules |= {n.module for n in imports if isinstance(n, ast.ImportFrom)}
    assert modules <= {"numpy", "scipy.special", "__future__", "collections.abc", "typing"}
    assert "closed form of claim T2" in source and "\x00" not in source
    assert {"forward", "loss_and_grad"} <= {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}


def test_source_has_no_unused_or_undefined_names(tmp_path):
    for name, rec in ALL_CELLS.items():
        for style in STYLES:
            (tmp_path / f"{name}_{style}.py").write_text(kernel(rec, style=style).source, encoding="utf-8")
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F,E9", "--no-cache"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_written_module_stands_alone(tmp_path):
    path = kernel(lstm).write(tmp_path / "lstm_double_sum.py")
    script = (
        "import sys, numpy as np, lstm_double_sum as k\n"
        "one = {n: np.ones([2] * len(s)) for n, s in k.SHAPES.items()}\n"
        "loss, grads = k.loss_and_grad(**one)\n"
        "assert not [m for m in sys.modules if m.startswith(('sympy', 'bptt_verify'))]\n"
        "print(repr(float(loss)), *sorted(grads))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=path.parent, capture_output=True, text=True, check=True
    )
    loss, *names = done.stdout.split()
    ones = {n: np.ones([2] * len(s)) for n, s in kernel(lstm).namespace["SHAPES"].items()}
    assert float(loss) == kernel(lstm).loss_and_grad(**ones)[0]
    assert names == sorted(["x", "h0", "c0", *lstm.params])


def test_it_can_be_made_again_and_sent_to_another_process():
    again = pickle.loads(pickle.dumps(kernel(elman)))  # our own data
    assert (again.method, again.source) == ("double_sum", kernel(elman).source)
    assert kernel(elman).programs.all()[0] == kernel(elman, "recursion").programs.forward


def test_a_double_sum_is_not_certified():
    with pytest.raises(UsageError, match="method='double_sum'; expected method='recursion'"):
        certify(generate(elman, method="double_sum"))
