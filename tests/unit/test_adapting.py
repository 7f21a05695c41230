"""``adapt``: other layouts, names and forms of a gradient function, judged as the kernel itself is."""

import inspect
import pickle

import numpy as np
import pytest

import bptt_verify as bv
from bptt_verify import cells
from bptt_verify.verify.cases import Regime, recurrence_cases
from bptt_verify.verify.returned import framework_named

KERNEL = bv.generate(cells.elman)
LSTM = bv.generate(cells.lstm)
PARAMS = tuple(cells.elman.params)
TORCH = {"weight_ih_l0": "W_hx", "weight_hh_l0": "W_hh", "bias_ih_l0": "b_h", "bias_hh_l0": "0*b_h"}


SHORT = (Regime("short", 4, 3, 1.0),)


def case(rec):
    """One set of inputs, that the tests do not take long."""
    return next(iter(recurrence_cases(rec, np.random.default_rng(0), SHORT))).arrays


def swapped(array):
    return np.swapaxes(array, 0, 1)


def batch_major(x, y, weights, h0, W_hx, W_hh, b_h, W_qh, b_q):
    arrays = dict(W_hx=W_hx, W_hh=W_hh, b_h=b_h, W_qh=W_qh, b_q=b_q, h0=h0)
    series = {"x": swapped(x), "y": swapped(y), "weights": swapped(weights)}
    loss, grads = KERNEL.loss_and_grad(**arrays, **series)
    return loss, grads | {"x": swapped(grads["x"])}


def in_a_tuple(x, y, W_hx, W_hh, b_h, W_qh, b_q):
    loss, grads = KERNEL.loss_and_grad(x=x, y=y, W_hx=W_hx, W_hh=W_hh, b_h=b_h, W_qh=W_qh, b_q=b_q)
    return (loss, *(grads[k] for k in PARAMS), grads["h0"])


def in_a_pair(**arrays):
    loss, grads = KERNEL.loss_and_grad(**arrays)
    return loss, [grads[k] for k in PARAMS]


def in_a_vector(**arrays):
    loss, grads = KERNEL.loss_and_grad(**arrays)
    return loss, np.concatenate([grads[k].ravel() for k in PARAMS])


def like_torch(x, y, h0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, W_qh, b_q):
    own = {
        "W_hx": weight_ih_l0,
        "W_hh": weight_hh_l0,
        "b_h": bias_ih_l0 + bias_hh_l0,
        "W_qh": W_qh,
        "b_q": b_q,
    }
    loss, grads = KERNEL.loss_and_grad(x=x, y=y, h0=h0, **own)
    names = {"weight_ih_l0": "W_hx", "weight_hh_l0": "W_hh", "bias_ih_l0": "b_h", "bias_hh_l0": "b_h"}
    kept = {k: grads[k] for k in ("W_qh", "b_q", "h0", "x")}
    return loss, kept | {k: grads[v] for k, v in names.items()}


def stacked_gates(weight_ih, weight_hh, bias, **rest):
    """An LSTM whose gates are stacked, as PyTorch stacks them."""
    own = {}
    for stack, ending in ((weight_ih, "x"), (weight_hh, "h")):
        own |= {f"W_{g}{ending}": part for g, part in zip("ifgo", np.split(stack, 4), strict=True)}
    own |= {f"b_{g}": part for g, part in zip("ifgo", np.split(bias, 4), strict=True)}
    loss, grads = LSTM.loss_and_grad(**own, **rest)
    found = {
        "weight_ih": np.concatenate([grads[f"W_{g}x"] for g in "ifgo"]),
        "weight_hh": np.concatenate([grads[f"W_{g}h"] for g in "ifgo"]),
        "bias": np.concatenate([grads[f"b_{g}"] for g in "ifgo"]),
    }
    return loss, found | {k: grads[k] for k in rest if k in grads}


STACKS = {
    "weight_ih": [f"W_{g}x" for g in "ifgo"],
    "weight_hh": [f"W_{g}h" for g in "ifgo"],
    "bias": [f"b_{g}" for g in "ifgo"],
}

RIGHT = {
    "batch": (batch_major, {"layout": "batch"}, cells.elman),
    "batch, by the recurrence": (batch_major, {"layout": "batch", "series": cells.elman}, cells.elman),
    "tuple": (in_a_tuple, {"gradients": "tuple", "order": (*PARAMS, None)}, cells.elman),
    "pair": (in_a_pair, {"gradients": "tuple", "order": PARAMS}, cells.elman),
    "flat": (in_a_vector, {"gradients": "flat", "order": PARAMS}, cells.elman),
    "torch names": (like_torch, {"names": TORCH}, cells.elman),
    "stacked gates": (stacked_gates, {"names": STACKS}, cells.lstm),
}


def wrong(fn, **adapting):
    """The same function with one gradient doubled, through its own return value."""

    def doubled(**arrays):
        loss, *rest = fn(**arrays)
        if isinstance(rest[0], dict):
            first = next(iter(rest[0]))
            return loss, {**rest[0], first: 2 * rest[0][first]}
        if isinstance(rest[0], list):
            return loss, [2 * rest[0][0], *rest[0][1:]]
        return (loss, rest[0] * 2, *rest[1:])

    doubled.__signature__ = inspect.signature(fn)
    return bv.adapt(doubled, **adapting)


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_function_is_verified_and_a_wrong_one_refuted(name):
    fn, adapting, rec = RIGHT[name]
    made = bv.adapt(fn, **adapting)
    report = bv.check_gradient(made, rec, inputs=case(rec), rng=0)
    assert report.verdict == "verified", report
    assert fn.__name__ in report.subject
    assert bv.check_gradient(wrong(fn, **adapting), rec, inputs=case(rec), rng=0).verdict == "refuted"


def one_sequence(x, y, h0, W_hx, W_hh, b_h, W_qh, b_q):
    """One sequence, columns, a loss that is a mean over time, gradients of everything."""
    assert x.ndim == y.ndim == h0.ndim == b_h.ndim == b_q.ndim == 2 and h0.shape == b_h.shape
    loss, grads = KERNEL.loss_and_grad(
        x=x[:, None], y=y[:, None], h0=h0.T, W_hx=W_hx, W_hh=W_hh, b_h=b_h[:, 0], W_qh=W_qh, b_q=b_q[:, 0]
    )
    columns = {k: grads[k].reshape(-1, 1) for k in ("h0", "b_h", "b_q")}
    return loss, {**grads, "x": grads["x"][:, 0], **columns}


def test_one_sequence_with_columns():
    columns = ("h0", "b_h", "b_q")
    mean = bv.adapt(one_sequence, layout="sequence", columns=columns, over_batch="mean")
    report = bv.check_gradient(mean, cells.elman, rng=0)
    assert report.verdict == "verified", report
    assert not any("no gradient" in n for n in report.notes)  # of x and h0 too
    summed = bv.adapt(one_sequence, layout="sequence", columns=columns)
    refuted = bv.check_gradient(summed, cells.elman, rng=0)
    assert refuted.verdict == "refuted"
    assert "the gradient is the right one times B: the mean over the batch is missing" in refuted.diagnosis


@bv.recurrence
def numbered(x=bv.Input("d"), out=bv.Target("n"), h=bv.State("n"), W0=bv.Param("n d"), W_0=bv.Param("n n")):
    """A parameter whose name ends in 0 is no initial state; a target has a name of its own."""
    h = bv.tanh(W0 @ x + W_0 @ h)
    return bv.Step(h=h, output=h, loss=bv.squared_error(h, out))


def test_a_check_tells_an_adapted_function_which_arrays_are_series_and_which_are_initial():
    kernel = bv.generate(numbered)

    def one(x, out, h0, W0, W_0):
        loss, grads = kernel.loss_and_grad(x=x[:, None], out=out[:, None], h0=h0[None], W0=W0, W_0=W_0)
        return loss, {**grads, "x": grads["x"][:, 0], "h0": grads["h0"][0]}

    def batch_first(x, out, W0, W_0):
        loss, grads = kernel.loss_and_grad(x=swapped(x), out=swapped(out), W0=W0, W_0=W_0)
        return loss, {k: grads[k] for k in ("W0", "W_0")}

    single = bv.adapt(one, layout="sequence", over_batch="mean")
    assert bv.check_gradient(single, numbered, rng=0).verdict == "verified"
    assert bv.check_gradient(bv.adapt(batch_first, layout="batch"), numbered, rng=0).verdict == "verified"
    refuted = bv.check_gradient(batch_first, numbered, rng=0)
    assert "bptt_verify.adapt(fn, layout='batch')" in refuted.diagnosis


def test_the_wrong_order_is_refuted():
    made = bv.adapt(in_a_pair, gradients="tuple", order=(*PARAMS[1::-1], *PARAMS[2:]))
    assert bv.check_gradient(made, cells.elman, inputs=case(cells.elman), rng=0).verdict == "refuted"


def test_the_wrong_layout_is_refuted():
    assert (
        bv.check_gradient(bv.adapt(batch_major), cells.elman, inputs=case(cells.elman), rng=0).verdict
        == "refuted"
    )


def test_only_what_the_function_takes_is_sent():
    report = bv.check_gradient(
        bv.adapt(in_a_tuple, gradients="tuple", order=(*PARAMS, None)),
        cells.elman,
        inputs=case(cells.elman),
        rng=0,
    )
    assert any("h0 is not an argument" in n for n in report.notes)


def test_a_function_that_does_not_say_what_it_takes_is_sent_everything():
    class Silent:
        __signature__ = "unknown"

        def __call__(self, **arrays):
            return KERNEL.loss_and_grad(**arrays)

    report = bv.check_gradient(bv.adapt(Silent()), cells.elman, inputs=case(cells.elman), rng=0)
    assert report.verdict == "verified", report


def test_an_adapted_function_can_be_pickled():
    made = pickle.loads(pickle.dumps(bv.adapt(like_torch, names=TORCH)))
    assert made.fn is like_torch
    assert made.__signature__ == bv.adapt(like_torch, names=TORCH).__signature__


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fn": 3}, "fn=3"),
        ({"layout": "nch"}, "layout='nch'; expected one of time, batch"),
        ({"gradients": "list"}, "gradients='list'; expected one of dict, tuple, flat"),
        ({"gradients": "tuple"}, "order=None with gradients='tuple'"),
        ({"order": ("W_hx",)}, "order= with gradients='dict'"),
        ({"gradients": "flat", "order": "W_hx"}, "order='W_hx'"),
        ({"gradients": "flat", "order": ("W_hx", None)}, "None in it"),
        ({"names": {"W": "W_hx"}}, "takes no argument 'W'; it takes x, y, weights"),
        ({"names": {"W_hx": ()}}, "expected a declared name"),
        ({"names": {"W_hx": "a", "W_hh": "a"}}, "'a' is sent twice"),
        ({"names": ["W_hx"]}, "expected a mapping"),
        ({"series": "x"}, "series='x'"),
        ({"fn": lambda a, /: a}, "positional-only"),
        ({"over_batch": "mean"}, "over_batch='mean' with layout='time'; expected layout='sequence'"),
        ({"over_batch": "max", "layout": "sequence"}, "over_batch='max'; expected one of sum, mean"),
        ({"columns": "b_h"}, "columns='b_h'; expected a sequence of declared names"),
    ],
)
def test_wrong_use_is_an_error_that_says_what_to_do(arguments, message):
    with pytest.raises(bv.UsageError) as caught:
        bv.adapt(**{"fn": batch_major} | arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("returned", "adapting", "message"),
    [
        (3.0, {}, "returned a float; expected (loss, …)"),
        ((3.0, 1, 2), {}, "use gradients='tuple'"),
        ((3.0, [1]), {}, "are a list; expected a mapping"),
        ((3.0, 1, 2), {"gradients": "tuple", "order": ("a",)}, "2 gradients were returned; expected the 1"),
        ((3.0, np.ones(5)), {"gradients": "flat", "order": ("a",)}, "shape (5,); expected (2,)"),
        ((3.0, np.ones(5)), {"gradients": "flat", "order": ("z",)}, "'z' was not sent"),
        ((3.0, {"b": np.ones(3)}), {"names": {"b": ("a", "c")}}, "has shape (3,); expected 4 rows, for a, c"),
    ],
)
def test_what_the_function_returns_is_looked_at(returned, adapting, message):
    made = bv.adapt(lambda **arrays: returned, **adapting)
    with pytest.raises(bv.UsageError) as caught:
        made(a=np.ones(2), c=np.ones(2))
    assert message in str(caught.value)


def test_a_framework_that_is_not_there_is_named():
    with pytest.raises(bv.UnsupportedError, match="pip install no_such_framework"):
        framework_named("no_such_framework")


@pytest.mark.torch
def test_a_module_of_torch_is_differentiated_by_torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra `torch`)")

    def loss(x, y, h0, W_qh, b_q, **weights):
        net = torch.nn.RNN(x.shape[2], W_qh.shape[1], dtype=x.dtype)
        states, _ = torch.func.functional_call(net, weights, (x, h0[None]))
        return ((states @ W_qh.T + b_q - y) ** 2).sum() / (2 * x.shape[0] * x.shape[1])

    made = bv.adapt(loss, names=TORCH, gradients="torch")
    report = bv.check_gradient(made, cells.elman, inputs=case(cells.elman), rng=0)
    assert report.verdict == "verified", report
    assert any("weights is not" in n or "takes no weights" in n for n in report.notes)

    def detached_loss(x, y, h0, W_qh, b_q, **weights):
        return loss(x, y, h0.detach() + 0 * h0, W_qh, b_q, **weights)

    detached = bv.adapt(detached_loss, names=TORCH, gradients="torch")
    assert bv.check_gradient(detached, cells.elman, inputs=case(cells.elman), rng=0).verdict == "refuted"


def test_a_function_of_jax_is_differentiated_by_jax():
    jax = pytest.importorskip("jax", reason="JAX is not installed (extra `jax`)")
    jnp = jax.numpy

    def loss(x, y, h0, W_hx, W_hh, b_h, W_qh, b_q):
        def step(h, x_t):
            h = (
                jnp.tanh(W_hx @ x_t + W_hh @ h + b_h)
                if h.ndim == 1
                else jnp.tanh(x_t @ W_hx.T + h @ W_hh.T + b_h)
            )
            return h, h @ W_qh.T + b_q

        _, o = jax.lax.scan(step, h0, x)
        return ((o - y) ** 2).sum() / (2 * x.shape[0] * x.shape[1])

    made = bv.adapt(loss, gradients="jax")
    assert bv.check_gradient(made, cells.elman, inputs=case(cells.elman), rng=0).verdict == "verified"
    half = bv.adapt(lambda x, **arrays: loss(x=x, **arrays) / 2, gradients="jax")
    assert bv.check_gradient(half, cells.elman, inputs=case(cells.elman), rng=0).verdict == "refuted"
