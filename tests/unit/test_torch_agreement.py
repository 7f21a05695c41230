"""Gradients of generated kernels agree with PyTorch's own RNN, GRU and LSTM to 1e-12 per block."""

import numpy as np
import pytest

import bptt_verify as bv

torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra `torch`)")
pytestmark = pytest.mark.torch

TOLERANCE = 1e-12
SIZES = [(1, 1, 1, 1, 1), (1, 1, 3, 4, 2), (7, 3, 4, 5, 2), (30, 2, 3, 6, 4)]  # (T, B, d, n, q)

# For each layer: its states, and for each of PyTorch's row blocks the catalogue's input matrix, recurrent
# matrix, bias, and second bias (None: PyTorch's b_hh is zero there, the catalogue has one bias).
LSTM = [("W_ix", "W_ih", "b_i"), ("W_fx", "W_fh", "b_f"), ("W_gx", "W_gh", "b_g"), ("W_ox", "W_oh", "b_o")]
CELLS = {
    "elman": ("RNN", [("h",)], [[("W_hx", "W_hh", "b_h", None)]]),
    "gru": (
        "GRU",
        [("h",)],
        [[("W_rx", "W_rh", "b_r", None), ("W_zx", "W_zh", "b_z", None), ("W_nx", "W_nh", "b_n", "b_nh")]],
    ),
    "lstm": ("LSTM", [("h", "c")], [[(*gate, None) for gate in LSTM]]),
    "lstm_stack": (
        "LSTM",
        [("h", "c"), ("k", "e")],
        [
            [(*gate, None) for gate in LSTM],
            [(f"V_{g}h", f"V_{g}k", f"a_{g}", None) for g in "ifgo"],
        ],
    ),
}


def draw(rec, layers, sizes, rng):
    """Arrays for the kernel: weights of unit gain, non-zero initial states, non-uniform loss weights."""
    steps, batch, d, n, q = sizes
    arrays = {
        "x": rng.normal(size=(steps, batch, d)),
        "y": rng.normal(size=(steps, batch, q)),
        "weights": rng.uniform(0.1, 1.0, size=(steps, batch)),
        "W_qh": rng.normal(size=(q, n)),
        "b_q": rng.normal(size=q),
    }
    if "W_qk" in rec.params:  # the readout of a stack sees the upper layer
        arrays["W_qk"] = arrays.pop("W_qh")
    for state in rec.carried:
        arrays[f"{state}0"] = rng.normal(size=(batch, n))
    for layer, blocks in enumerate(layers):
        below = d if layer == 0 else n
        for into, recurrent, bias, second in blocks:
            arrays[into] = rng.normal(size=(n, below)) / np.sqrt(below)
            arrays[recurrent] = rng.normal(size=(n, n)) / np.sqrt(n)
            arrays |= {name: rng.normal(size=n) for name in (bias, second) if name}
    return arrays


def gated(states, gate):
    """The same states, whose gradients are multiplied by a gate on their way back."""
    if isinstance(states, tuple):
        return tuple(gated(s, gate) for s in states)
    carried = states.clone()
    carried.register_hook(lambda grad: gate * grad)
    return carried


def torch_loss_and_grad(module, states, layers, arrays, gates=None):
    """The same loss by PyTorch's own cell; gradients under the catalogue's names.

    With gates, one step after the other; a gate of 0 is what ``detach`` does.
    """
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in arrays.items()}
    n = tensors[layers[0][0][1]].shape[0]
    net = getattr(torch.nn, module)(tensors["x"].shape[2], n, num_layers=len(layers)).double()
    weights = {}
    for layer, blocks in enumerate(layers):
        columns = zip(*blocks, strict=True)
        for kind, names in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), columns, strict=True):
            parts = [tensors[name] if name else torch.zeros(n, dtype=torch.float64) for name in names]
            weights[f"{kind}_l{layer}"] = torch.cat(parts)
    initial = [torch.stack([tensors[f"{name}0"] for name in names]) for names in zip(*states, strict=True)]
    start = tuple(initial) if len(initial) == 2 else initial[0]
    if gates is None:
        hidden, _ = torch.func.functional_call(net, weights, (tensors["x"], start))
    else:
        steps, carried = [], start
        for x, gate in zip(tensors["x"], gates, strict=True):
            carried = gated(carried, torch.tensor(gate)[:, None])
            step, carried = torch.func.functional_call(net, weights, (x[None], carried))
            steps.append(step)
        hidden = torch.cat(steps)
    readout = tensors["W_qk" if "W_qk" in tensors else "W_qh"]
    error = hidden @ readout.T + tensors["b_q"] - tensors["y"]
    loss = (tensors["weights"] * (error**2).sum(-1)).sum() / 2
    loss.backward()
    known = tensors.keys() - {"y", "weights"}
    return loss.item(), {name: tensors[name].grad.numpy() for name in known}


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_agree_with_torch(cell, sizes):
    module, states, layers = CELLS[cell]
    rec = getattr(bv.cells, cell)
    arrays = draw(rec, layers, sizes, np.random.default_rng(sum(sizes)))
    declared = {*rec.params, *rec.inputs, *rec.targets, *(f"{state}0" for state in rec.carried)}
    assert declared | {"weights"} == arrays.keys()

    loss, grads = bv.generate(rec).loss_and_grad(**arrays)
    torch_loss, torch_grads = torch_loss_and_grad(module, states, layers, arrays)

    assert loss == pytest.approx(torch_loss, rel=TOLERANCE)
    assert grads.keys() == torch_grads.keys()
    errors = {name: relative_error(grads[name], torch_grads[name]) for name in grads}
    assert max(errors.values()) <= TOLERANCE, errors


@pytest.mark.parametrize("estimator", [bv.Chunks(1, 1), bv.Chunks(4, 4), bv.Randomized(0.5, True)], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_truncated_gradients_agree_with_torch(cell, estimator):
    """Gates as hooks on the carried state: chunks that are detached, and gates of each sequence."""
    module, states, layers = CELLS[cell]
    rec, steps, batch = getattr(bv.cells, cell), 10, 3
    arrays = draw(rec, layers, (steps, batch, 4, 5, 2), np.random.default_rng(7))
    drawing = {"rng": np.random.default_rng(3)} if isinstance(estimator, bv.Randomized) else {}
    made = bv.generate(rec, estimator=estimator).estimate(**arrays, **drawing)
    gates = np.broadcast_to(made.xi.reshape(steps, -1), (steps, batch))
    assert 0 < np.count_nonzero(gates) < gates.size
    loss, grads = torch_loss_and_grad(module, states, layers, arrays, gates)
    assert made.loss == pytest.approx(loss, rel=TOLERANCE)
    errors = {name: relative_error(made.grads[name], grads[name]) for name in grads}
    assert max(errors.values()) <= TOLERANCE, errors


# ---- output feedback, by autograd through a loop over the steps ----

MODES = ("free", "teacher", "scheduled")


def fed_arrays(rec, T, B, d, n, q, mode, seed=0):
    """Arrays of unit gain for one of the feedback cells, with a mask where it is scheduled."""
    rng, size = np.random.default_rng(seed), {"d": d, "n": n, "q": q}
    shapes = {p: [size[w] for w in words] for p, words in rec.params.items()}
    arrays = {p: rng.normal(size=shape) / np.sqrt(shape[-1]) for p, shape in shapes.items()}
    arrays |= {f"{s}0": rng.normal(size=(B, size[words[0]])) for s, words in rec.carried.items()}
    arrays |= {"x": rng.normal(size=(T, B, d)), "y": rng.normal(size=(T, B, q))}
    arrays["weights"] = rng.uniform(0.1, 1.0, size=(T, B))
    return arrays | ({"mask": rng.integers(0, 2, size=(T, B))} if mode == "scheduled" else {})


def torch_fed(arrays, mode, cut=0):
    """Loss and gradient of ``jordan``, or with a W_hh of ``elman_feedback``; detached every ``cut`` steps."""
    w = {k: torch.tensor(a, requires_grad=a.dtype.kind == "f") for k, a in arrays.items()}
    h, u, loss = w.get("h0"), w["u0"], 0.0
    for t, (x, y) in enumerate(zip(w["x"], w["y"], strict=True)):
        if cut and t and t % cut == 0:
            h, u = None if h is None else h.detach(), u.detach()
        a = x @ w["W_hx"].T + u @ w["W_hu"].T + w["b_h"]
        h = torch.tanh(a if h is None or "W_hh" not in w else a + h @ w["W_hh"].T)
        o = h @ w["W_qh"].T + w["b_q"]
        loss = loss + (w["weights"][t] * ((o - y) ** 2).sum(-1)).sum() / 2
        forced = {"free": 0.0, "teacher": 1.0}.get(mode)
        if forced is None:
            forced = w["mask"][t + 1][:, None].double() if t + 1 < len(w["x"]) else 0.0
        u = forced * y + (1 - forced) * o
    loss.backward()
    known = {k: v for k, v in w.items() if k not in ("y", "weights", "mask")}
    return loss.item(), {
        k: np.zeros_like(arrays[k]) if v.grad is None else v.grad.numpy() for k, v in known.items()
    }


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("cell", ["jordan", "elman_feedback"])
def test_fed_gradients_agree_with_torch(cell, sizes, mode):
    rec = getattr(bv.cells, cell)
    arrays = fed_arrays(rec, *sizes, mode)
    loss, grads = bv.generate(rec, feedback=mode).loss_and_grad(**arrays)
    wanted, truth = torch_fed(arrays, mode)
    assert loss == pytest.approx(wanted, rel=TOLERANCE) and grads.keys() == truth.keys()
    errors = {name: relative_error(grads[name], truth[name]) for name in grads}
    assert max(errors.values()) <= TOLERANCE, errors


@pytest.mark.parametrize(
    ("cell", "mode"),
    [*(("elman_feedback", mode) for mode in MODES), ("jordan", "free"), ("jordan", "teacher")],
)
def test_chunks_detach_the_state_and_what_is_fed(cell, mode):
    """Not a scheduled jordan, whose loss reads what was fed: an explicit part, which T6 never gates."""
    rec = bv.with_feedback(getattr(bv.cells, cell), mode)
    arrays = fed_arrays(rec, 10, 3, 4, 5, 2, mode, seed=7)
    _, grads = bv.generate(rec, estimator=bv.Chunks(4, 4)).loss_and_grad(**arrays)
    _, truth = torch_fed(arrays, mode, cut=4)
    errors = {name: relative_error(grads[name], truth[name]) for name in grads}
    assert max(errors.values()) <= TOLERANCE, errors


def relative_error(found, expected):
    assert found.shape == expected.shape
    scale = np.max(np.abs(expected))
    return np.max(np.abs(found - expected)) / (scale if scale > 0 else 1.0)
