"""Generated updates: conventions, derivative, steps, and what they refuse."""

import numpy as np
import pytest

import bptt_verify as bv
from bptt_verify.codegen import generate_update
from bptt_verify.codegen.clipping import CONVENTIONS
from bptt_verify.errors import ArrayError, UsageError
from bptt_verify.kernels.updates import clip_by_norm, clipped_update

GRADS = {"w": np.array([[3.0, -4.0], [0.5, 0.0]]), "b": np.array([12.0, -0.25])}
STEP = {"step_size": 0.1, "threshold": 1.0}


def flat(grads):
    return np.concatenate([np.ravel(v) for v in grads.values()])


def shaped(vector, like):
    parts = np.split(vector, np.cumsum([v.size for v in like.values()])[:-1])
    return {k: p.reshape(v.shape) for (k, v), p in zip(like.items(), parts, strict=True)}


def plain(convention, grads, threshold):
    """Every convention in one line of complex-capable NumPy, where it clips."""
    length = np.sqrt(np.sum(flat(grads) ** 2))
    match convention:
        case "exact":
            return {k: v * threshold / length for k, v in grads.items()}
        case "torch":
            return {k: v * threshold / (length + 1e-6) for k, v in grads.items()}
        case "per_parameter":
            return {k: v * threshold / np.sqrt(np.sum(v**2)) for k, v in grads.items()}
    return {
        k: np.where(abs(v.real) < threshold, v, threshold * np.sign(v.real)).astype(v.dtype)
        for k, v in grads.items()
    }


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("threshold", [0.2, 1e-5, 3e-7])
def test_a_convention_is_its_formula(convention, threshold):
    clipped = generate_update(convention=convention).clip(GRADS, threshold)
    for name, value in plain(convention, GRADS, threshold).items():
        np.testing.assert_allclose(clipped[name], value, rtol=1e-15)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("scale", [1.0, 3e-6])
def test_the_derivative_is_the_complex_step_of_the_formula(convention, scale):
    rng = np.random.default_rng(3)
    grads = {k: v * scale for k, v in GRADS.items()}
    update, threshold = generate_update(convention=convention), 0.2 * scale
    along = {k: rng.normal(size=v.shape) for k, v in grads.items()}
    found = update.clip_derivative(grads, threshold, along)
    moved = plain(convention, {k: v + 1e-30j * along[k] for k, v in grads.items()}, threshold)
    for name in grads:
        np.testing.assert_allclose(found[name], moved[name].imag / 1e-30, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_derivative_is_symmetric_and_the_identity_inside(convention):
    update, identity = generate_update(convention=convention), np.eye(6)
    columns = [flat(update.clip_derivative(GRADS, 1.0, shaped(e, GRADS))) for e in identity]
    np.testing.assert_allclose(np.array(columns), np.array(columns).T, atol=1e-16)
    inside = [flat(update.clip_derivative(GRADS, 1e3, shaped(e, GRADS))) for e in identity]
    np.testing.assert_array_equal(inside, identity)
    infinite = [flat(update.clip_derivative(GRADS, np.inf, shaped(e, GRADS))) for e in identity]
    np.testing.assert_array_equal(infinite, identity)


def test_the_derivative_of_the_torch_clip_at_zero_below_its_margin():
    update = generate_update(convention="torch")
    found = update.clip_derivative({"w": np.zeros(2)}, 1e-7, {"w": np.array([1.0, 2.0])})
    np.testing.assert_allclose(found["w"], [0.1, 0.2], rtol=1e-14)


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_the_derivative_neither_overflows_nor_underflows(scale):
    update = generate_update()
    along = {k: np.full(v.shape, 0.5) for k, v in GRADS.items()}
    usual = update.clip_derivative(GRADS, 0.5, along)
    moved = update.clip_derivative({k: v * scale for k, v in GRADS.items()}, 0.5 * scale, along)
    for name in GRADS:
        np.testing.assert_allclose(moved[name], usual[name], rtol=1e-13)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("ulps", [-4, 0, 4])
def test_there_is_no_derivative_on_the_kink(convention, ulps):
    grads = {"b": np.array([0.1]), "w": np.array([5.0, 0.0])}
    at = {"exact": np.hypot(0.1, 5.0), "torch": np.hypot(0.1, 5.0) + 1e-6}.get(convention, 5.0)
    update = generate_update(convention=convention)
    with pytest.raises(ArrayError, match="no derivative there"):
        update.clip_derivative(grads, at * (1 + ulps * np.finfo(float).eps), grads)
    update.clip_derivative(grads, at * (1 + 1e-12), grads)
    update.clip_derivative(grads, at * (1 - 1e-12), grads)


def test_a_kink_is_as_wide_as_the_rounding_of_the_gradient():
    grads = {"w": np.array([3.0, 4.0], np.float32)}
    with pytest.raises(ArrayError, match="threshold to rounding"):
        generate_update().clip_derivative(grads, 5.0 * (1 + 1e-7), grads)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_step_goes_down_along_the_clipped_gradient(convention):
    rng = np.random.default_rng(1)
    update = generate_update(convention=convention)
    params = {k: rng.normal(size=v.shape) for k, v in GRADS.items()}
    grads = GRADS | {"x": np.full(7, 1e9), "h0": np.array([np.nan])}
    kept = {k: v.copy() for k, v in params.items()}
    new = update.clipped_update(params, grads, **STEP)
    clipped = update.clip(GRADS, 1.0)
    for name in params:
        np.testing.assert_allclose(new[name], params[name] - 0.1 * clipped[name], rtol=1e-15)
        np.testing.assert_array_equal(params[name], kept[name])
    assert list(new) == list(params)


def test_in_place_writes_into_the_given_arrays():
    params = {"w": np.ones((2, 2)), "b": np.zeros(2, np.float32)}
    fresh = clipped_update(params, GRADS, **STEP)
    same = clipped_update(params, GRADS, **STEP, inplace=True)
    for name, array in params.items():
        assert same[name] is array
        assert fresh[name] is not array
        assert fresh[name].dtype == array.dtype
        np.testing.assert_array_equal(fresh[name], array)


def test_an_error_leaves_everything_as_it_was():
    locked = np.zeros(2)
    locked.flags.writeable = False
    params = {"w": np.ones((2, 2)), "b": locked}
    with pytest.raises(ArrayError, match=r"params\['b'\]: cannot be written in place"):
        clipped_update(params, GRADS, **STEP, inplace=True)
    assert np.array_equal(params["w"], np.ones((2, 2)))
    with pytest.raises(ArrayError, match=r"grads\['b'\]: an entry is nan"):
        clipped_update(params, GRADS | {"b": np.array([np.nan, 0.0])}, **STEP, inplace=True)
    assert np.array_equal(params["w"], np.ones((2, 2)))


def test_nothing_that_is_returned_is_what_was_given():
    for threshold in (1.0, 1e9, np.inf):
        for convention in CONVENTIONS:
            clipped = generate_update(convention=convention).clip(GRADS, threshold)
            assert not any(np.shares_memory(clipped[k], GRADS[k]) for k in GRADS)
            assert all(v.flags.writeable for v in clipped.values())


def test_mixed_dtypes_are_kept_under_one_norm():
    grads = {"w": np.array([3.0], np.float32), "b": np.array([4.0])}
    clipped = clip_by_norm(grads, 1.0)
    assert [v.dtype for v in clipped.values()] == [np.float32, np.float64]
    np.testing.assert_allclose(clipped["b"], 0.8, rtol=1e-15)


@pytest.mark.parametrize("threshold", [0, -1.0, np.nan, -np.inf, True, "1", None, 1j, np.ones(2)], ids=str)
def test_a_threshold_that_is_not_positive_is_refused(threshold):
    with pytest.raises(UsageError, match=r"threshold=.*expected a positive number"):
        clip_by_norm(GRADS, threshold)


@pytest.mark.parametrize("step_size", [0, -1.0, np.nan, np.inf, None], ids=str)
def test_a_step_size_that_is_not_positive_is_refused(step_size):
    with pytest.raises(UsageError, match=r"step_size=.*expected a"):
        clipped_update(GRADS, GRADS, step_size=step_size, threshold=1.0)


@pytest.mark.parametrize(
    ("params", "grads", "message"),
    [
        (GRADS, {"w": GRADS["w"]}, r"grads\['b'\]: missing; expected an array of shape \(2,\)"),
        (GRADS, GRADS | {"b": np.ones(3)}, r"grads\['b'\]: shape=\(3,\); expected \(2,\)"),
        (GRADS, GRADS | {"b": np.arange(2)}, r"grads\['b'\]: dtype=int64"),
        (GRADS | {"b": np.arange(2)}, GRADS, r"params\['b'\]: dtype=int64"),
        ([1.0], GRADS, r"params=\[1.0\]; expected a dict"),
        (GRADS, None, "grads=None; expected a dict"),
    ],
)
def test_wrong_arrays_are_refused_by_name(params, grads, message):
    with pytest.raises(ArrayError, match=message):
        clipped_update(params, grads, **STEP)


def test_an_unknown_convention_is_refused():
    with pytest.raises(UsageError, match="convention='pytorch'; expected one of 'exact', 'torch'"):
        generate_update(convention="pytorch")


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_written_module_stands_alone(convention, tmp_path):
    update = generate_update(convention=convention)
    path = update.write(tmp_path / "room" / "update.py")
    namespace = {}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), namespace)
    function = namespace[CONVENTIONS[convention].function]
    np.testing.assert_array_equal(function(GRADS, 1.0)["w"], update.clip(GRADS, 1.0)["w"])
    with pytest.raises(ValueError, match="threshold=0"):
        function(GRADS, 0)
    with pytest.raises(TypeError, match="dtype=int64"):
        function({"w": np.arange(2)}, 1.0)


def test_a_step_with_the_gradients_of_a_kernel_does_not_count_those_of_inputs():
    rng = np.random.default_rng(0)
    shapes = {"x": (3, 2, 4), "y": (3, 2, 1), "W_hx": (5, 4), "W_hh": (5, 5), "W_qh": (1, 5)}
    arrays = {k: rng.normal(size=s) for k, s in shapes.items()}
    _, grads = bv.generate(bv.cells.linear).loss_and_grad(**arrays)
    params = {k: arrays[k] for k in bv.cells.linear.params}
    new = clipped_update(params, grads, step_size=0.1, threshold=0.01)
    moved = np.sqrt(sum(np.sum((new[k] - v) ** 2) for k, v in params.items()))
    np.testing.assert_allclose(moved, 0.1 * 0.01, rtol=1e-10)
