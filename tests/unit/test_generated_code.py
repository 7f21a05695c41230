"""Generated modules: what they accept and refuse, what they leave alone, and how they are written."""

import ast
import keyword
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from cells_for_tests import ALL_CELLS, draw

from bptt_verify.cells import elman, elman_charlm, lstm
from bptt_verify.codegen.kernel import generate
from bptt_verify.errors import ArrayError, BpttVerifyError, RecurrenceError, UsageError
from bptt_verify.estimators import Full, Window
from bptt_verify.language import Input, State, Step, dot, recurrence
from bptt_verify.program import evaluate

STYLES = ("fast", "plain")
SIZES = {"d": 2, "n": 3, "q": 4, "v": 5}
KERNELS = {}


def kernel(rec, style="fast"):
    key = (rec.name, style)
    if key not in KERNELS:
        KERNELS[key] = generate(rec, style=style)
    return KERNELS[key]


def arrays_for(rec, T=3, B=2, seed=0):
    return draw(rec, np.random.default_rng(seed), T, B, scale=0.7)


def elman_arrays(**changes):
    return {**draw(elman, np.random.default_rng(0), 3, 2, SIZES), **changes}


def without(arrays, *names):
    return {n: a for n, a in arrays.items() if n not in names}


def same(found, wanted, tolerance=1e-13):
    assert np.shape(found) == np.shape(wanted)
    assert np.max(np.abs(found - wanted)) <= tolerance * np.max(np.abs(wanted))


# ---- calls that are refused ----

X = np.zeros((3, 2, 2))
WRONG = {
    "missing batch axis": ({"x": np.zeros((3, 2))}, ["x: shape=(3, 2)", "(T, B, d)", "x[:, None, :]"]),
    "missing batch axis of a target": ({"y": np.zeros((3, 4))}, ["y: shape=(3, 4)", "y[:, None, :]"]),
    "missing batch axis of a state": ({"h0": np.zeros(3)}, ["h0: shape=(3,)", "(B, n)", "h0[None, :]"]),
    "too many axes": ({"x": X[None]}, ["x: shape=(1, 3, 2, 2)", "(T, B, d)"]),
    "vector for a matrix": ({"W_hh": np.zeros(3)}, ["W_hh: shape=(3,)", "(n, n)"]),
    "unknown": ({"V_hh": np.zeros(3)}, ["unknown array", "V_hh", "W_hh"]),
    "missing": ({"W_hh": ...}, ["missing", "W_hh", "(n, n)"]),
    "missing input": ({"x": ...}, ["missing", "'x'", "(T, B, d)"]),
    "None for a parameter": ({"b_h": None}, ["b_h", "missing", "(n)"]),
    "transposed": ({"W_hx": np.zeros((2, 3))}, ["W_hx: shape=(2, 3)", "(n, d)", "d=2"]),
    "other T": ({"y": np.zeros((4, 2, 4))}, ["y: shape=(4, 2, 4)", "(T, B, q)", "T=3"]),
    "other B": ({"h0": np.zeros((1, 3))}, ["h0: shape=(1, 3)", "(B, n)", "B=2"]),
    "weights of another shape": (
        {"weights": np.ones(3)},
        ["weights: shape=(3,)", "(T, B)", "weights[:, None]"],
    ),
    "no steps": ({"x": np.zeros((0, 2, 2))}, ["x: shape=(0, 2, 2)", "at least 1"]),
    "no sequences": ({"x": np.zeros((3, 0, 2))}, ["x: shape=(3, 0, 2)", "at least 1"]),
    "no entries": ({"x": np.zeros((3, 2, 0))}, ["x: shape=(3, 2, 0)", "at least 1"]),
    "text": ({"b_h": np.array(["a", "b", "c"])}, ["b_h: dtype=<U1", "float32 or float64"]),
    "objects": ({"b_h": np.array([1, 2, None])}, ["b_h: dtype=object", "float32 or float64"]),
    "half precision": ({"b_h": np.zeros(3, np.float16)}, ["b_h: dtype=float16", "float32 or float64"]),
    "dates": ({"b_h": np.zeros(3, "datetime64[s]")}, ["b_h: dtype=datetime64", "float32 or float64"]),
    "ragged list": ({"b_h": [[1.0], [1.0, 2.0], [3.0]]}, ["inhomogeneous"]),
}


@pytest.mark.parametrize("method", ["loss_and_grad", "forward"])
@pytest.mark.parametrize(("change", "words"), WRONG.values(), ids=WRONG)
def test_wrong_arrays_are_refused(method, change, words):
    arrays = {n: a for n, a in elman_arrays(**change).items() if a is not ...}
    with pytest.raises(ArrayError) as caught:
        getattr(kernel(elman), method)(**arrays)
    message = str(caught.value)
    assert message.startswith(f"elman.{method}: ")
    assert [w for w in words if w not in message] == [], message


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (np.array([[0, 5]]), ["x: classes from 0 to 5", "v - 1 = 4"]),
        (np.array([[-1, 2]]), ["x: classes from -1 to 2", "v - 1 = 4"]),
        (np.array([[0.0, 1.0]]), ["x: dtype=float64", "integer classes"]),
        (np.array([[True, False]]), ["x: dtype=bool", "integer classes"]),
        (np.zeros((1, 2, 5), int), ["x: shape=(1, 2, 5)", "(T, B)"]),
        (np.array([1, 2]), ["x: shape=(2,)", "(T, B)", "x[:, None]"]),
    ],
)
def test_wrong_classes_are_refused(classes, words):
    arrays = {**draw(elman_charlm, np.random.default_rng(0), 1, 2, SIZES), "x": classes}
    with pytest.raises(ArrayError) as caught:
        kernel(elman_charlm).loss_and_grad(**arrays)
    assert [w for w in words if w not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize("method", ["vjp", "jvp"])
@pytest.mark.parametrize(
    ("change", "seeds", "words"),
    [
        ({"W_hh": ...}, {}, ["W_hh", "missing"]),
        ({"U": np.zeros(2)}, {}, ["U", "unknown"]),
        ({}, {"U": np.zeros(2)}, ["U", "unknown"]),
        ({}, {"loss": 1.0}, ["loss", "unknown"]),
        ({}, {"y": np.zeros((3, 2, 4))}, ["y", "unknown"]),
    ],
)
def test_wrong_arguments_of_vjp_and_jvp_are_refused(method, change, seeds, words):
    arrays = {n: a for n, a in elman_arrays(**change).items() if a is not ...}
    with pytest.raises(ArrayError) as caught:
        getattr(kernel(elman), method)(arrays, seeds)
    assert [w for w in words if w not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize(
    ("method", "seeds", "words"),
    [
        ("vjp", {"h": np.zeros(3)}, ["h: shape=(3,)", "(B, n)"]),
        ("vjp", {"output": np.zeros((3, 2, 3))}, ["output: shape=(3, 2, 3)", "q=4"]),
        ("jvp", {"W_hh": np.zeros((3, 2))}, ["W_hh: shape=(3, 2)", "(n, n)"]),
        ("jvp", {"x": np.zeros((3, 2))}, ["x: shape=(3, 2)", "x[:, None, :]"]),
    ],
)
def test_wrong_seeds_are_refused(method, seeds, words):
    with pytest.raises(ArrayError) as caught:
        getattr(kernel(elman), method)(elman_arrays(), seeds)
    assert [w for w in words if w not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"backend": "cuda"}, ["backend='cuda'", "'numpy'"]),
        ({"feedback": "both"}, ["feedback='both'", "'free'"]),
        ({"style": "slow"}, ["style='slow'", "'fast'", "'plain'"]),
        ({"estimator": 3}, ["estimator=3", "Full()", "Window(tau)", "Chunks(k1, k2)", "Randomized(pi)"]),
        ({"estimator": Window}, ["estimator=<class", "Window(tau)"]),
        (
            {"estimator": Window(2), "method": "double_sum"},
            ["method='double_sum'", "Window(tau=2)", "expected method='recursion'"],
        ),
    ],
)
def test_wrong_arguments_of_generate_are_refused(arguments, words):
    with pytest.raises(UsageError) as caught:
        generate(elman, **arguments)
    assert [w for w in words if w not in str(caught.value)] == [], str(caught.value)
    assert isinstance(caught.value, BpttVerifyError)


def test_generate_wants_a_recurrence():
    with pytest.raises(UsageError, match=r"expected a Recurrence"):
        generate(elman.function)


# ---- calls that are accepted ----


@pytest.mark.parametrize("style", STYLES)
def test_defaults_of_weights_and_initial_states(style):
    arrays = elman_arrays()
    full = {**arrays, "weights": np.full((3, 2), 1 / 6), "h0": np.zeros((2, 3))}
    short = without(arrays, "weights", "h0")
    one, other = (kernel(elman, style).loss_and_grad(**a) for a in (full, short))
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys() == {"x", "h0", *elman.params}
    for name, wanted in one[1].items():
        np.testing.assert_array_equal(other[1][name], wanted)
    again = kernel(elman, style).loss_and_grad(**short, weights=None, h0=None)
    assert again[0] == other[0]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", ALL_CELLS)
def test_float32_in_gives_float32_out(name, style):
    rec = ALL_CELLS[name]
    arrays = arrays_for(rec)
    single = {n: a if n in rec.onehot else np.asarray(a, np.float32) for n, a in arrays.items()}
    k = kernel(rec, style)
    loss, grads = k.loss_and_grad(**single)
    _, wanted = k.loss_and_grad(**arrays)
    trace = k.forward(**single)
    assert {loss.dtype, trace.loss.dtype, *(g.dtype for g in grads.values())} == {np.dtype(np.float32)}
    assert {s.dtype for s in trace.states.values()} == {np.dtype(np.float32)}
    assert trace.outputs is None or trace.outputs.dtype == np.float32
    for block, g in grads.items():
        assert np.max(np.abs(g - wanted[block])) <= 2e-4 * np.max(np.abs(wanted[block])), block
    direction = {n: np.ones(np.shape(single[n]), np.float32) for n in grads}
    assert k.jvp(single, direction)[0].dtype == np.float32
    assert {g.dtype for g in k.vjp(single, {}).values()} == {np.dtype(np.float32)}


def test_single_and_double_precision_together_give_double():
    arrays = elman_arrays(x=elman_arrays()["x"].astype(np.float32))
    loss, grads = kernel(elman).loss_and_grad(**arrays)
    assert {loss.dtype, *(g.dtype for g in grads.values())} == {np.dtype(np.float64)}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", ALL_CELLS)
def test_complex_arrays_give_the_derivative_along_a_direction(name, style):
    rec = ALL_CELLS[name]
    arrays, rng = arrays_for(rec), np.random.default_rng(1)
    k = kernel(rec, style)
    for block, gradient in k.loss_and_grad(**arrays)[1].items():
        direction = rng.normal(size=np.shape(arrays[block]))
        moved = {**arrays, block: arrays[block] + 1e-30j * direction}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            loss, _ = k.loss_and_grad(**moved)
        terms = gradient * direction
        assert abs(loss.imag / 1e-30 - np.sum(terms)) <= 1e-12 * np.sum(np.abs(terms)), block


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", ALL_CELLS)
def test_inputs_are_untouched_and_results_are_new(name, style):
    rec = ALL_CELLS[name]
    arrays = arrays_for(rec)
    before = {n: np.array(a) for n, a in arrays.items()}
    k = kernel(rec, style)
    loss, grads = k.loss_and_grad(**arrays)
    trace = k.forward(**arrays)
    results = [*grads.values(), *trace.states.values(), *([] if trace.outputs is None else [trace.outputs])]
    for found in results:
        assert not any(np.shares_memory(found, a) for a in arrays.values())
    for found in results:
        if isinstance(found, np.ndarray):  # a caller may change what it was given
            found[...] = np.nan
    for n, a in arrays.items():
        np.testing.assert_array_equal(a, before[n])
    assert k.loss_and_grad(**arrays)[0] == loss


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("rec", [elman, lstm, elman_charlm], ids=lambda r: r.name)
def test_calls_do_not_share_results(rec, style):
    k, one, other = kernel(rec, style), arrays_for(rec), arrays_for(rec, T=4, seed=1)
    loss, grads = k.loss_and_grad(**one)
    kept = {n: g.copy() for n, g in grads.items()}
    k.loss_and_grad(**other)
    again_loss, again = k.loss_and_grad(**one)
    assert loss == again_loss
    for n, g in kept.items():
        np.testing.assert_array_equal(grads[n], g)
        np.testing.assert_array_equal(again[n], g)
        assert not np.shares_memory(grads[n], again[n])


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", ["elman", "lstm_peephole", "elman_charlm", "square_matrix_state", "several"])
def test_layout_and_containers_do_not_matter(name, style):
    rec = ALL_CELLS[name]
    arrays, k = arrays_for(rec), kernel(rec, style)
    _, wanted = k.loss_and_grad(**arrays)
    strided = {n: np.repeat(a, 2, axis=-1)[..., ::2] if np.ndim(a) else a for n, a in arrays.items()}
    variants = {
        "not contiguous": strided,
        "Fortran order": {n: np.asfortranarray(a) if np.ndim(a) else a for n, a in arrays.items()},
        "reversed twice": {n: a[::-1].copy()[::-1] if np.ndim(a) else a for n, a in arrays.items()},
        "lists": {n: np.asarray(a).tolist() for n, a in arrays.items()},
        "read-only": {n: np.broadcast_to(a, np.shape(a)) for n, a in arrays.items()},
    }
    for variant in variants.values():
        for block, g in k.loss_and_grad(**variant)[1].items():
            same(g, wanted[block])


def test_integers_count_as_double_precision():
    arrays = elman_arrays()
    whole = {n: np.round(a).astype(int) for n, a in arrays.items()}
    _, wanted = kernel(elman).loss_and_grad(**{n: a.astype(float) for n, a in whole.items()})
    _, grads = kernel(elman).loss_and_grad(**whole)
    for block, g in grads.items():
        assert g.dtype == np.float64
        same(g, wanted[block])


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
def test_classes_of_any_integer_type(dtype):
    arrays = arrays_for(elman_charlm)
    loss, _ = kernel(elman_charlm).loss_and_grad(**arrays)
    typed = {n: a.astype(dtype) if n in elman_charlm.onehot else a for n, a in arrays.items()}
    assert kernel(elman_charlm).loss_and_grad(**typed)[0] == loss


@pytest.mark.parametrize("name", ALL_CELLS)
def test_styles_agree_with_each_other_and_with_the_program(name):
    rec = ALL_CELLS[name]
    for T, B in ((1, 1), (5, 2)):
        arrays = arrays_for(rec, T, B)
        values, results = evaluate(rec.program, arrays), dict(rec.program.results)
        fast, plain = (kernel(rec, style) for style in STYLES)
        (loss, grads), (plain_loss, plain_grads) = fast.loss_and_grad(**arrays), plain.loss_and_grad(**arrays)
        assert grads.keys() == plain_grads.keys()
        for block, g in grads.items():
            same(g, plain_grads[block], 1e-12)
            assert g.shape == np.shape(arrays[block])
        _, step_loss = rec.program.equation[results["loss"]].operands
        terms = np.sum(np.abs(arrays["weights"] * values[step_loss.name]))
        for found in (loss, plain_loss, fast.forward(**arrays).loss, plain.forward(**arrays).loss):
            assert abs(found - values[results["loss"]]) <= 1e-13 * terms
        for k in (fast, plain):
            trace = k.forward(**arrays)
            for state in rec.carried:
                same(trace.states[state], values[results[state]])
            if trace.outputs is not None:
                same(trace.outputs, values[results["output"]])


@pytest.mark.parametrize("style", STYLES)
def test_vjp_needs_neither_targets_nor_weights(style):
    arrays = elman_arrays()
    seeds = {"output": np.ones((3, 2, 4)), "h": np.ones((2, 3))}
    wanted = kernel(elman, style).vjp(arrays, seeds)
    for block, g in kernel(elman, style).vjp(without(arrays, "y", "weights"), seeds).items():
        np.testing.assert_array_equal(g, wanted[block])
    nothing = kernel(elman, style).vjp(arrays, {})
    assert all(not g.any() for g in nothing.values())


def test_large_arguments_do_not_overflow():
    for name in ("lstm", "bits", "soft_classes", "elman_charlm", "attention"):
        rec = ALL_CELLS[name]
        arrays = {n: a if n in rec.onehot else 1e3 * a for n, a in arrays_for(rec).items()}
        for style in STYLES:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                loss, grads = kernel(rec, style).loss_and_grad(**arrays)
            assert np.isfinite(loss)
            assert all(np.all(np.isfinite(g)) for g in grads.values())


# ---- the text ----


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", ALL_CELLS)
def test_source_is_plain_python_with_few_imports(name, style):
    source = kernel(ALL_CELLS[name], style).source
    tree = ast.parse(source)
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    modules = {a.name for n in imports if isinstance(n, ast.Import) for a in n.names}
    modules |= {n.module for n in imports if isinstance(n, ast.ImportFrom)}
    assert modules <= {"numpy", "scipy.special", "__future__", "collections.abc", "typing"}
    assert ("scipy.special" in modules) == ("scipy.special." in source)
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} | {
        n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)
    }
    assert all(n.isascii() and n.isidentifier() and not keyword.iskeyword(n) for n in names)
    assert not {"exec", "eval", "open", "__import__", "getattr", "globals"} & names
    assert "\x00" not in source
    assert source.endswith("\n")
    assert {"forward", "loss_and_grad", "vjp", "jvp"} <= {
        n.name for n in tree.body if isinstance(n, ast.FunctionDef)
    }


def test_source_has_no_unused_or_undefined_names(tmp_path):
    for name, rec in ALL_CELLS.items():
        for style in STYLES:
            (tmp_path / f"{name}_{style}.py").write_text(kernel(rec, style).source, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--select",
        "F,E9",
        "--no-cache",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_names_of_the_author_are_in_the_source():
    for style in STYLES:
        assert "h_{t-1}" in kernel(elman, style).source
        assert {"a", "h", "o"} <= {
            n.id for n in ast.walk(ast.parse(kernel(elman, style).source)) if isinstance(n, ast.Name)
        }


def test_the_written_module_stands_alone(tmp_path):
    path = kernel(lstm).write(tmp_path / "made" / "lstm_kernel.py")
    assert path.read_text(encoding="utf-8") == kernel(lstm).source
    script = (
        "import sys, numpy as np, lstm_kernel as k\n"
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


def test_a_kernel_can_be_made_again_from_its_recurrence():
    assert generate(elman, estimator=Full()).source == kernel(elman).source
    assert kernel(elman).name == "elman"


def test_errors_of_the_module_itself_are_pythons_own():
    functions = kernel(elman).namespace
    with pytest.raises(ValueError, match=r"x\[:, None, :\]"):
        functions["loss_and_grad"](**elman_arrays(x=np.zeros((3, 2))))
    with pytest.raises(TypeError, match="W_hh"):
        functions["loss_and_grad"](**without(elman_arrays(), "W_hh"))


def test_what_a_module_defines_can_be_sent_to_another_process():
    again = pickle.loads(pickle.dumps(kernel(elman)))  # our own data
    assert again.source == kernel(elman).source
    assert pickle.loads(pickle.dumps(ALL_CELLS["attention"])) is ALL_CELLS["attention"]


def test_what_no_module_defines_cannot():
    def inner(x=Input("n"), h=State("n")):
        return Step(h=h * x, loss=dot(h, x))

    with pytest.raises(RecurrenceError, match=r"inner is not a recurrence; expected one defined at the top"):
        pickle.loads(pickle.dumps(recurrence(inner)))
