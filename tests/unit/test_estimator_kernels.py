"""Kernels that truncate: every cell against the kept terms one by one, and how many products are made."""

import pickle
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
from cells_for_tests import ALL_CELLS, draw

from bptt_verify.analysis.terms import signed_terms
from bptt_verify.cells import CATALOGUE, elman, linear, lstm, lstm_stack
from bptt_verify.certification import certify
from bptt_verify.codegen.kernel import generate, load
from bptt_verify.errors import ArrayError, UnsupportedError, UsageError
from bptt_verify.estimators import Chunks, Full, Geometric, Randomized, Window, drawn, kept
from bptt_verify.language import Input, Param, State, Step, dot, recurrence
from bptt_verify.verify import recurrence_cases

KERNELS = {}
GATED = Randomized(0.5)
T, B = 7, 2


def kernel(rec, estimator=GATED, style="fast"):
    key = (rec.name, estimator, style)
    if key not in KERNELS:
        KERNELS[key] = generate(rec, estimator=estimator, style=style)
    return KERNELS[key]


def arrays_of(rec, steps=T, batch=B, seed=0):
    return draw(rec, np.random.default_rng(seed), steps, batch, scale=0.7)


def error(found, wanted, scale=None):
    """The largest error of a block, relative to its largest entry in ``scale`` (the wanted one)."""
    assert found.keys() == wanted.keys()
    assert all(found[k].shape == g.shape and found[k].dtype == g.dtype for k, g in wanted.items())
    sizes = {k: np.abs(g).max(initial=0.0) or 1.0 for k, g in (scale or wanted).items()}
    return max((np.abs(found[k] - g).max(initial=0.0) / sizes[k] for k, g in wanted.items()), default=0.0)


def weighed(rec, arrays, weigh):
    """The parameters' gradients with every term (t, i) times ``weigh(t, i)``, (B,); counted from 0."""
    _, full = kernel(rec, Full()).loss_and_grad(**arrays)
    wanted = {p: full[p].copy() for p in rec.params}
    for lag, start, parts in signed_terms(rec.program, arrays):
        for p, terms in parts.items():
            for i, term in enumerate(terms, start):
                wanted[p] += np.tensordot(weigh(i + lag, i) - 1.0, term, (0, 0))
    return wanted, {p: full[p] for p in rec.params}


def only(grads, names):
    return {k: grads[k] for k in names}


# ---- gates ----


def some_gates(steps, batch, seed):
    """Gates of a step, or of a step and sequence: among them closed ones and values that are no 1/π."""
    rng = np.random.default_rng(seed)
    shape = (steps,) if seed % 2 else (steps, batch)
    return rng.choice([0.0, 0.0, 1.0, 2.0, -0.5], size=shape)


@pytest.mark.parametrize("name", ALL_CELLS)
def test_a_gate_scales_the_terms_that_pass_it(name):
    """For every cell; where the loss reads the previous state, its explicit part is not gated."""
    rec = ALL_CELLS[name]
    style = "fast" if len(name) % 2 else "plain"
    arrays = arrays_of(rec, 5)
    for seed in range(4):
        xi = some_gates(5, B, seed)
        whole = np.broadcast_to(xi.reshape(5, -1), (5, B))
        given = arrays | {"weights": arrays["weights"] * (np.arange(5) % 3 != seed)[:, None]}
        _, grads = kernel(rec, style=style).loss_and_grad(**given, xi=xi)
        wanted, scale = weighed(rec, given, lambda t, i: np.prod(whole[i + 1 : t + 1], axis=0))  # noqa: B023
        assert error(only(grads, rec.params), wanted, scale) <= 1e-13


@pytest.mark.parametrize("name", ALL_CELLS)
def test_open_gates_give_the_full_gradient(name):
    rec = ALL_CELLS[name]
    for steps in (1, 5):
        arrays = arrays_of(rec, steps)
        loss, grads = kernel(rec).loss_and_grad(**arrays, xi=np.ones(steps))
        wanted_loss, wanted = kernel(rec, Full()).loss_and_grad(**arrays)
        assert loss == wanted_loss and error(grads, wanted) <= 1e-14


SQUARED = [rec for rec in CATALOGUE.values() if "y" not in rec.onehot]


@pytest.mark.parametrize("rec", SQUARED, ids=lambda r: r.name)
def test_cotangents_pass_the_same_gates(rec):
    """The adjoint of the loss is that of its outputs: with a squared error, c = (o - y) times the weights."""
    arrays = arrays_of(rec)
    given = {k: v for k, v in arrays.items() if k not in ("y", "weights")}
    trace = kernel(rec).forward(**arrays)
    output = arrays["weights"][..., None] * (trace.outputs - arrays["y"])
    for seed in range(4):
        xi = some_gates(T, B, seed)
        got = kernel(rec).vjp(given, {"output": output}, xi=xi)
        assert error(got, kernel(rec).loss_and_grad(**arrays, xi=xi)[1]) <= 1e-12


@pytest.mark.parametrize("name", ["elman", "lstm", "lstm_stack", "delayed_state", "matrix_and_vector_states"])
def test_the_initial_state_and_inputs_pass_the_same_gates(name):
    """Two runs, the second from the first one's final state held fixed, are one run with a closed gate."""
    rec = ALL_CELLS[name]
    arrays, cut = arrays_of(rec), 4
    series = (*rec.inputs, *rec.targets, "weights")
    first = {k: v[:cut] if k in series else v for k, v in arrays.items()}
    states = kernel(rec).forward(**first).states
    second = {k: v[cut:] if k in series else v for k, v in arrays.items()}
    second |= {f"{s}0": v[-1] for s, v in states.items()}
    one, two = (kernel(rec, Full()).loss_and_grad(**a)[1] for a in (first, second))
    got = kernel(rec).loss_and_grad(**arrays, xi=(np.arange(T) != cut).astype(float))[1]
    for k, g in got.items():
        wanted = np.concatenate([one[k], two[k]]) if k in rec.inputs else one[k]
        wanted = wanted if k in rec.inputs or k not in rec.params else one[k] + two[k]
        assert np.abs(g - wanted).max() <= 1e-13 * np.abs(wanted).max()


@recurrence
def looks_back(x=Input("d"), h=State("n"), k=State("n"), V=Param("n d"), W=Param("n n")):
    new = V @ x + W @ k
    loss = dot(new, h)
    k = new - h
    h = new
    return Step(h=h, k=k, loss=loss)


@pytest.mark.parametrize("rec", [linear, looks_back], ids=lambda r: r.name)
def test_the_mean_over_all_outcomes_is_the_gradient_to_the_last_digit(rec):
    """T7 on a kernel: integers, and π = 1/2 or 1/4, so that no floating-point operation rounds."""
    steps, rng = 6, np.random.default_rng(0)
    pi = [0.5, 0.25, 0.5, 0.5, 0.25, 0.5]
    arrays = {k: np.rint(2 * v) for k, v in arrays_of(rec, steps).items()}
    arrays["weights"] = rng.integers(1, 4, size=(steps, B)).astype(float)
    _, full = kernel(rec, Full()).loss_and_grad(**arrays)
    mean = {k: np.zeros_like(v) for k, v in full.items()}
    unweighted = {k: np.zeros_like(v) for k, v in full.items()}
    for opened in product((0.0, 1.0), repeat=steps):
        chance = np.prod([p if o else 1 - p for o, p in zip(opened, pi, strict=True)])
        grads = kernel(rec).loss_and_grad(**arrays, xi=np.divide(opened, pi))[1]
        wrong = kernel(rec).loss_and_grad(**arrays, xi=np.array(opened))[1]
        for k in full:
            mean[k] += chance * grads[k]
            unweighted[k] += chance * wrong[k]
    assert all(np.array_equal(mean[k], full[k]) for k in full)
    assert not all(np.array_equal(unweighted[k], full[k]) for k in full)  # 1/π forgotten


def test_a_generator_draws_the_gates_by_their_law():
    arrays = arrays_of(elman)
    for estimator in (Randomized(0.3), Randomized(0.3, True), Randomized(Geometric(0.9, 0.7, 0.2)),
                      Randomized(np.linspace(0.1, 1.0, T))):  # fmt: skip
        k = kernel(elman, estimator)
        wanted = drawn(estimator, T, B, np.random.default_rng(5))
        made = k.estimate(**arrays, rng=np.random.default_rng(5))
        assert np.array_equal(made.xi, wanted)
        again = k.estimate(**arrays, xi=wanted)
        assert made.loss == again.loss and error(made.grads, again.grads) == 0
        assert made.products == again.products


def test_single_precision_stays_single():
    arrays = {k: v.astype(np.float32) for k, v in arrays_of(elman).items()}
    for estimator in (GATED, Chunks(2, 2), Window(3)):
        drawing = {"rng": np.random.default_rng(0)} if estimator == GATED else {}
        loss, grads = kernel(elman, estimator).loss_and_grad(**arrays, **drawing)
        assert loss.dtype == np.float32 and {g.dtype for g in grads.values()} == {np.dtype(np.float32)}


# ---- windows and chunks ----

TRUNCATED = (
    Window(3),
    Window(20),
    Chunks(2, 3),
    Chunks(3, 5),
    Chunks(3, 9),
    Chunks(8, 9),
    Chunks(4, 4),
    Window(1),
)


@pytest.mark.parametrize("name", ALL_CELLS)
def test_the_kept_terms_are_summed(name):
    rec, n = ALL_CELLS[name], len(name)
    arrays = arrays_of(rec)
    for estimator in (TRUNCATED[n % 4], TRUNCATED[4 + n % 4]):
        mask = kept(estimator, T)
        style = "plain" if n % 3 else "fast"
        _, grads = kernel(rec, estimator, style).loss_and_grad(**arrays)
        wanted, scale = weighed(rec, arrays, lambda t, i: np.full(B, float(mask[t, i])))  # noqa: B023
        assert error(only(grads, rec.params), wanted, scale) <= 1e-13


@pytest.mark.parametrize("estimator", TRUNCATED, ids=str)
@pytest.mark.parametrize("rec", [elman, lstm_stack], ids=lambda r: r.name)
def test_inputs_and_initial_states_keep_their_terms(rec, estimator):
    """∂L/∂x_i has the loss terms t that keep i; ∂L/∂h_0 those that keep 1."""
    arrays, mask = arrays_of(rec), kept(estimator, T)
    got = kernel(rec, estimator).loss_and_grad(**arrays)[1]
    wanted = {k: np.zeros_like(v) for k, v in got.items() if k == "x" or k[:-1] in rec.carried}
    for t in range(T):
        weights = arrays["weights"] * (np.arange(T) == t)[:, None]
        one = kernel(rec, Full()).loss_and_grad(**arrays | {"weights": weights})[1]
        for k in wanted:
            wanted[k] += one[k] * mask[t][:, None, None] if k == "x" else one[k] * mask[t, 0]
    assert error(only(got, wanted), wanted) <= 1e-13


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_window_beyond_the_end_is_the_full_gradient(name):
    rec = CATALOGUE[name]
    for case in recurrence_cases(rec, np.random.default_rng(3)):
        _, wanted = kernel(rec, Full()).loss_and_grad(**case.arrays)
        for estimator in (Window(60), Chunks(100, 100)):
            assert error(kernel(rec, estimator).loss_and_grad(**case.arrays)[1], wanted) <= 1e-12, case.name


MISTAKES = {
    "window one too long": ("K1, K2 = 2, 3", "K1, K2 = 2, 4"),
    "window one too short": ("K1, K2 = 2, 3", "K1, K2 = 2, 2"),
    "chunks of another length": ("K1, K2 = 2, 3", "K1, K2 = 1, 3"),
    "overlapping losses counted twice": ("if j < K1:", "if j < K2:"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("rec", [elman, lstm], ids=lambda r: r.name)
def test_a_mistake_in_the_run_back_is_noticed(rec, mistake):
    right, wrong = MISTAKES[mistake]
    source, arrays = kernel(rec, Chunks(2, 3)).source, arrays_of(rec)
    assert source.count(right) == 1
    broken = load(source.replace(right, wrong), f"<{rec.name}, {mistake}>")["loss_and_grad"](**arrays)[1]
    assert error(broken, kernel(rec, Chunks(2, 3)).loss_and_grad(**arrays)[1]) > 1e-4


# ---- products ----


class Counted:
    """A module's NumPy whose products with one matrix, from the right, are counted."""

    def __init__(self, shape):
        self.shape, self.count = shape, 0

    def __getattr__(self, name):
        return self.dot if name == "dot" else getattr(np, name)

    def dot(self, a, b, out=None):
        # W_hhᵀ λ is λ @ W_hh, C-contiguous; the forward pass multiplies by W_hh.T
        self.count += b.shape == self.shape and b.flags.c_contiguous and a.shape == (B, self.shape[0])
        return np.dot(a, b, out=out)


@pytest.mark.parametrize("last_only", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_the_products_that_are_counted_are_those_that_are_made(seed, last_only):
    arrays, xi = arrays_of(elman, 9), some_gates(9, B, seed)
    if last_only:
        arrays["weights"] = arrays["weights"] * (np.arange(9) == 8)[:, None]
    module = load(kernel(elman).source, "<counted>")
    module["np"] = counted = Counted(arrays["W_hh"].shape)
    made = module["estimate"](**arrays, xi=xi)
    assert made.products == counted.count
    opens = np.broadcast_to(xi.reshape(9, -1), (9, B)).any(axis=1)
    run = np.cumprod(opens[::-1]).sum()  # gates that are open from the last step back
    assert made.products == (run if last_only else opens.sum())


def test_products_of_windows_and_chunks():
    """One for each pair of a chunk and a step before one of its own that it reaches, and J_1ᵀ λ_1."""
    arrays = arrays_of(elman, 10)
    assert kernel(elman, Window(3)).estimate(**arrays).products == 9 + 8 + 1
    assert (
        kernel(elman, Chunks(4, 6)).estimate(**arrays).products == 3 + 5 + 3 + 1
    )  # ends 4, 8, 12: cut at 10
    made = kernel(elman, Chunks(4, 4)).estimate(**arrays)
    assert made.products == 8 and made.xi.tolist() == [1, 1, 1, 1, 0, 1, 1, 1, 0, 1]
    assert kernel(elman, Window(3)).estimate(**arrays).xi is None


def test_where_nothing_has_a_loss_nothing_is_made():
    arrays = arrays_of(lstm) | {"weights": np.zeros((T, B))}
    made = kernel(lstm).estimate(**arrays, xi=np.ones(T))
    assert made.products == 0 and made.loss == 0
    assert all(not g.any() for g in made.grads.values())


def test_buffers_of_an_earlier_call_leave_nothing_behind():
    """Rows that a call does not reach are zero, whatever the call before left in them."""
    arrays = arrays_of(lstm)
    last = arrays | {"weights": arrays["weights"] * (np.arange(T) == T - 1)[:, None]}
    workspace = {}
    kernel(lstm).loss_and_grad(**arrays, xi=np.ones(T), workspace=workspace)
    closed = np.ones(T)
    closed[T - 2] = 0
    got = kernel(lstm).loss_and_grad(**last, xi=closed, workspace=workspace)[1]
    assert error(got, kernel(lstm).loss_and_grad(**last, xi=closed, workspace={})[1]) == 0


# ---- what is refused ----

WRONG = {
    "no gates": ({}, ["xi, rng: neither was given", "numpy.random.Generator"]),
    "both": ({"xi": np.ones(T), "rng": np.random.default_rng(0)}, ["both were given"]),
    "gates of another length": ({"xi": np.ones(T + 1)}, ["xi: shape=(8,)", "(T,)=(7,)", "(T, B)=(7, 2)"]),
    "gates by sequence alone": ({"xi": np.ones((B, T))}, ["xi: shape=(2, 7)"]),
    "gates with one column": ({"xi": np.ones((T, 1))}, ["xi: shape=(7, 1)"]),
    "a single gate": ({"xi": 1.0}, ["xi: shape=()"]),
    "gates that are not finite": ({"xi": np.full(T, np.inf)}, ["xi: ", "finite"]),
    "complex gates": ({"xi": np.ones(T, complex)}, ["xi: dtype=complex128"]),
    "a seed for a generator": ({"rng": 3}, ["rng: 3", "numpy.random.Generator", "default_rng(seed)"]),
    "an old generator": ({"rng": np.random.RandomState(0)}, ["rng: RandomState"]),
    "an unknown array": ({"xi": np.ones(T), "gates": np.ones(T)}, ["unknown array 'gates'"]),
}


@pytest.mark.parametrize(("more", "words"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("function", ["loss_and_grad", "estimate"])
def test_wrong_gates_are_refused(function, more, words):
    with pytest.raises(ArrayError) as caught:
        getattr(kernel(elman), function)(**arrays_of(elman), **more)
    assert [w for w in words if w not in str(caught.value)] == [], str(caught.value)


def test_a_schedule_of_another_length_is_refused():
    with pytest.raises(ArrayError, match=r"T=7: there are 2 probabilities; expected one for each step"):
        kernel(elman, Randomized([0.5, 0.5])).loss_and_grad(**arrays_of(elman), rng=np.random.default_rng(0))


def test_what_draws_nothing_takes_no_gates():
    for estimator in (Full(), Window(3), Chunks(2, 2)):
        with pytest.raises(ArrayError, match="unknown array 'xi'"):
            kernel(elman, estimator).loss_and_grad(**arrays_of(elman), xi=np.ones(T))


@pytest.mark.parametrize(
    ("estimator", "function", "words"),
    [
        (Full(), "estimate", r"elman\.estimate: estimator=Full\(\) leaves nothing out; call loss_and_grad"),
        (
            Window(3),
            "vjp",
            r"elman\.vjp: estimator=Window\(tau=3\) has no vjp; expected .*estimator=Full\(\)",
        ),
        (GATED, "jvp", r"elman\.jvp: estimator=Randomized\(.*\) has no jvp"),
    ],
)
def test_what_an_estimator_has_not_is_said(estimator, function, words):
    arguments = ({}, {}) if function != "estimate" else ()
    with pytest.raises(UnsupportedError, match=words):
        getattr(kernel(elman, estimator), function)(*arguments)


def test_an_estimate_is_not_certified_as_a_gradient():
    with pytest.raises(UsageError, match=r"estimator=Window\(tau=3\); expected Full\(\).*check_truncated"):
        certify(kernel(elman, Window(3)))


# ---- the modules ----


def test_a_kernel_can_be_sent_to_another_process():
    for estimator in (GATED, Window(3)):
        again = pickle.loads(pickle.dumps(kernel(elman, estimator)))
        assert again.source == kernel(elman, estimator).source and again.estimator == estimator


@pytest.mark.parametrize(
    "estimator", [GATED, Randomized([0.5, 1.0] * 40), Window(3), Chunks(2, 2)], ids=lambda e: str(e)[:20]
)
def test_a_written_module_stands_alone_and_lints(tmp_path, estimator):
    for rec in (lstm, ALL_CELLS["output_is_previous_state"], ALL_CELLS["names_of_generated_code"]):
        path = kernel(rec, estimator).write(tmp_path / f"{rec.name}.py")
        command = [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--isolated",
            "--select",
            "E9,F",
            "--no-cache",
            path,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    script = (
        "import sys, numpy as np, lstm as k\n"
        "one = {n: np.ones([2] * len(s)) for n, s in k.SHAPES.items()}\n"
        "drawing = {'rng': np.random.default_rng(0)} if hasattr(k, '_probabilities') else {}\n"
        "try:\n"
        "    made = k.estimate(**one, **drawing)\n"
        "except ValueError as error:\n"
        "    assert 'there are 80 probabilities' in str(error)\n"
        "assert not [m for m in sys.modules if m.startswith(('sympy', 'bptt_verify'))]\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
