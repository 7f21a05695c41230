"""Mistakes in functions that are written by hand, one sequence at a time or with classes: what is named."""

import numpy as np
import pytest

import bptt_verify as bv


def one_sequence(after=dict, inside=lambda dh: dh, carried=lambda dh: dh, before=lambda t, T: t - 1):
    """An Elman network of one sequence, as tutorials have it, and what is done to its gradient."""

    def loss_and_grad(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
        T, h, o, loss = len(x), {-1: h0}, {}, 0.0
        for t in range(T):
            h[t] = np.tanh(W_hx @ x[t] + W_hh @ h[t - 1] + b_h)
            o[t] = W_qh @ h[t] + b_q
            loss += weights[t] * 0.5 * np.sum((o[t] - y[t]) ** 2)
        parameters = {"W_hx": W_hx, "W_hh": W_hh, "b_h": b_h, "W_qh": W_qh, "b_q": b_q}
        g = {k: np.zeros_like(v) for k, v in parameters.items()}
        dh_next = np.zeros_like(h0)
        for t in reversed(range(T)):
            do = weights[t] * (o[t] - y[t])
            g["W_qh"] += np.outer(do, h[t])
            g["b_q"] += do
            da = (1 - h[t] ** 2) * inside(W_qh.T @ do + dh_next)
            g["b_h"] += da
            g["W_hx"] += np.outer(da, x[t])
            g["W_hh"] += np.outer(da, h[before(t, T)])
            dh_next = carried(W_hh.T @ da)
        return loss, after(g)

    return bv.adapt(loss_and_grad, layout="sequence")


def to_norm(g, threshold=1.0):
    """All gradients, scaled down to a norm."""
    norm = np.sqrt(sum(np.sum(v**2) for v in g.values()))
    return {k: v * min(1.0, threshold / norm) for k, v in g.items()}


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            {"after": lambda g: {k: np.clip(v, -5, 5) for k, v in g.items()}},
            "clipped to ±5 element by element",
        ),
        ({"after": to_norm}, "clipped to the global norm 1"),
        ({"inside": lambda dh: np.clip(dh, -5, 5)}, "h_bar is clipped to ±5 at every step"),
        ({"carried": lambda dh: np.clip(dh, -0.1, 0.1)}, "h_prev_bar is clipped to ±0.1 at every step"),
        ({"before": lambda t, T: (t - 1) % T}, "the last h stands for h0 in the backward pass"),
    ],
)
def test_what_is_done_to_each_sequence_is_named(how, said):
    report = bv.check_gradient(one_sequence(**how), bv.cells.elman, rng=0)
    assert report.verdict == "refuted"
    assert said in report.cause


def test_one_sequence_at_a_time_is_right():
    assert bv.check_gradient(one_sequence(), bv.cells.elman, rng=0).verdict == "verified"


def classes(write):
    """A network on classes, whose embedding's gradient is written in some way."""
    right = bv.generate(bv.cells.elman_charlm).loss_and_grad

    def loss_and_grad(**arrays):
        loss, grads = right(**arrays)
        h, da = states_and_errors(**arrays)
        assert np.allclose(np.einsum("tbi,tbj->ij", da, h), grads["W_hh"])
        dW = np.zeros_like(arrays["W_hx"].T)
        write(dW, arrays["x"], da)
        return loss, {**grads, "W_hx": dW.T}

    return loss_and_grad


def states_and_errors(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
    """The previous states of all steps, and the gradients by what tanh is applied to."""
    h = [h0]
    for row in x:
        h.append(np.tanh(W_hx.T[row] + h[-1] @ W_hh.T + b_h))
    errors, carried = [], 0.0
    for t in reversed(range(len(x))):
        o = h[t + 1] @ W_qh.T + b_q
        p = np.exp(o - o.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        p[np.arange(len(p)), y[t]] -= 1
        errors.insert(0, ((p * weights[t][:, None]) @ W_qh + carried) * (1 - h[t + 1] ** 2))
        carried = errors[0] @ W_hh
    return np.array(h[:-1]), np.array(errors)


def added_at(dW, x, da):
    np.add.at(dW, x, da)


def added(dW, x, da):
    for row, d in zip(x, da, strict=True):
        dW[row] += d


def added_at_once(dW, x, da):
    dW[x] += da


def overwritten(dW, x, da):
    for t in reversed(range(len(x))):
        dW[x[t]] = da[t]


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (added, "the same class at one step, only the last one counts"),
        (added_at_once, "of all rows of a class only the last one counts"),
        (overwritten, "of all rows of a class only that of its first step counts"),
    ],
)
def test_rows_of_repeated_classes_are_named(write, said):
    report = bv.check_gradient(classes(write), bv.cells.elman_charlm, rng=0)
    assert {f.block for f in report.findings} == {"W_hx"}
    assert said in report.cause and report.cause.endswith("[repeated classes]")


def test_rows_that_are_all_added_are_right():
    assert bv.check_gradient(classes(added_at), bv.cells.elman_charlm, rng=0).verdict == "verified"


@pytest.mark.parametrize(("block", "axes"), [("W_hx", "nd"), ("h0", "Bn")])
def test_what_is_wrong_between_equal_sizes_only_is_found(block, axes):
    right = bv.generate(bv.cells.elman).loss_and_grad

    def loss_and_grad(**arrays):
        loss, grads = right(**arrays)
        rows, columns = grads[block].shape
        return loss, {**grads, **({block: grads[block].T.copy()} if rows == columns else {})}

    report = bv.check_gradient(loss_and_grad, bv.cells.elman, rng=0)
    assert {f.block for f in report.findings} == {block}
    assert report.cause == f"the gradient of {block} is transposed where its two sizes are equal [transposed]"
    sizes = dict(part.split("=") for part in report.smallest.split(", "))
    assert sizes[axes[0]] == sizes[axes[1]] != "1"
