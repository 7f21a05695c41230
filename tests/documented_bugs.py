"""Recurrent gradients that were wrong, and right ones in odd styles: what a verifier has to tell apart.

Each function is written by hand, as such code is. A bug is a right function with a line or two exchanged;
``source`` is where it was reported, or None where it is only common knowledge.
"""

# A change is easier to read on one line, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

import bptt_verify as bv


@dataclass(frozen=True)
class Bug:
    """A wrong function.

    Attributes
    ----------
    name : str
    source : str or None
        ``owner/repo#number`` or an address.
    mistake : str
    make : callable
        Returns the function, fresh.
    against : Recurrence, callable, number or None
        The equations, or the loss function; the threshold of a clip.
    expect : str or None
        A pattern that the diagnosis, or the first finding, has where it names the mistake.
    check : str
        ``gradient``, ``truncated``, ``unbiased`` or ``clip``.
    options : mapping
        What else the check is given.
    """

    name: str
    source: str | None
    mistake: str
    make: Callable[[], Callable[..., Any]]
    against: Any
    expect: str | None
    check: str = "gradient"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Right:
    """A right function, in a style that is not usual."""

    name: str
    make: Callable[[], Callable[..., Any]]
    against: Any
    check: str = "gradient"
    options: Mapping[str, Any] = field(default_factory=dict)


def judged(entry: Bug | Right, rng: int = 0) -> Any:
    """The report on an entry."""
    options = dict(entry.options)
    first = (entry.against, options.pop("estimator")) if "estimator" in options else (entry.against,)
    return getattr(bv, f"check_{entry.check}")(entry.make(), *first, rng=rng, **options)


def named(bug: Bug, report: Any) -> bool:
    """Whether a report says what the mistake is."""
    said = [report.diagnosis or "", *(f.what for f in report.findings[:1])]
    return bug.expect is not None and any(re.search(bug.expect, s, re.IGNORECASE) for s in said)


def edited(fn: Callable[..., Any], *changes: tuple[str, str]) -> Callable[..., Any]:
    """The function with pieces of its text exchanged, each of which must be there once."""
    text = textwrap.dedent(inspect.getsource(fn))
    for old, new in changes:
        assert text.count(old) == 1, f"{fn.__name__}: {text.count(old)} times: {old}"
        text = text.replace(old, new)
    scope = dict(globals())
    exec(compile(text, f"<{fn.__name__}, edited>", "exec"), scope)
    return scope[fn.__name__]


BUGS: list[Bug] = []
RIGHT: list[Right] = []


def bug(fn, against, name, mistake, expect, *changes, source=None, check="gradient", **options):
    """List a function with these changes as wrong."""
    BUGS.append(
        Bug(name, source, mistake, partial(edited, fn, *changes), against, expect, check, options)
    )


def right(against, check="gradient", **options):
    """List the decorated function as right."""

    def add(fn):
        RIGHT.append(Right(fn.__name__, lambda: fn, against, check, options))
        return fn

    return add


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


# ---- a network with one layer ----


def elman(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
    T, B, _ = x.shape
    h, a, o = np.zeros((T + 1, B, len(b_h))), np.zeros((T, B, len(b_h))), np.zeros_like(y)
    h[0] = h0
    for t in range(T):
        a[t] = x[t] @ W_hx.T + h[t] @ W_hh.T + b_h
        h[t + 1] = np.tanh(a[t])
        o[t] = h[t + 1] @ W_qh.T + b_q
    loss = 0.5 * np.sum(weights[:, :, None] * (o - y) ** 2)
    dW_hx, dW_hh, db_h = np.zeros_like(W_hx), np.zeros_like(W_hh), np.zeros_like(b_h)
    dW_qh, db_q = np.zeros_like(W_qh), np.zeros_like(b_q)
    dx, dh_next = np.zeros_like(x), np.zeros_like(h0)
    for t in reversed(range(T)):
        do = weights[t][:, None] * (o[t] - y[t])
        dW_qh += do.T @ h[t + 1]
        db_q += do.sum(axis=0)
        dh = do @ W_qh + dh_next
        da = dh * (1 - h[t + 1] ** 2)
        dW_hx += da.T @ x[t]
        dW_hh += da.T @ h[t]
        db_h += da.sum(axis=0)
        dx[t] = da @ W_hx
        dh_next = da @ W_hh
    grads = {"W_hx": dW_hx, "W_hh": dW_hh, "b_h": db_h, "W_qh": dW_qh, "b_q": db_q}
    return loss, grads | {"x": dx, "h0": dh_next}


def elman_mean(x, y, W_hx, W_hh, b_h, W_qh, b_q):
    """From a zero state, the mean over time and batch, no gradient of the inputs."""
    T, B, _ = x.shape
    h = np.zeros((T + 1, B, len(b_h)))
    for t in range(T):
        h[t + 1] = np.tanh(x[t] @ W_hx.T + h[t] @ W_hh.T + b_h)
    error = h[1:] @ W_qh.T + b_q - y
    loss = 0.5 * np.sum(error**2) / (T * B)
    dW_hx, dW_hh, db_h = np.zeros_like(W_hx), np.zeros_like(W_hh), np.zeros_like(b_h)
    dW_qh, db_q = np.zeros_like(W_qh), np.zeros_like(b_q)
    dh_next = np.zeros_like(h[0])
    for t in reversed(range(T)):
        do = error[t] / (T * B)
        dW_qh += do.T @ h[t + 1]
        db_q += do.sum(axis=0)
        da = (do @ W_qh + dh_next) * (1 - h[t + 1] ** 2)
        dW_hx += da.T @ x[t]
        dW_hh += da.T @ h[t]
        db_h += da.sum(axis=0)
        dh_next = da @ W_hh
    return loss, {"W_hx": dW_hx, "W_hh": dW_hh, "b_h": db_h, "W_qh": dW_qh, "b_q": db_q}


of_elman = partial(bug, elman, bv.cells.elman)
of_elman("no gradient through time", "What comes from the later steps is computed and never added.",
  r"adjoint of h is not carried|recurren\w+ (term|path)|through time|later steps",
  ("dh = do @ W_qh + dh_next", "dh = do @ W_qh"), source="qixianbiao/RNN#2")
of_elman("carried adjoint computed and not kept", "The adjoint of the previous state stays zero, since it is never assigned in the loop.",
  r"adjoint of h is not carried|recurren\w+ (term|path)|through time|later steps",
  ("dh_next = da @ W_hh", "dh_prev = da @ W_hh"), source="sagarnildass/andrew_ng_deep_learning#1")
of_elman("direct dependence of the recurrent weights only", "The previous state is held fixed when the recurrent weights are differentiated.",
  r"W_hh.*(direct|through time|later steps|Window\(tau=1\)|lag 0|carried)",
  ("dW_hh += da.T @ h[t]", "dW_hh += ((do @ W_qh) * (1 - h[t + 1] ** 2)).T @ h[t]"), source="d2l-ai/d2l-en#2616")
of_elman("new state for the previous one", "The recurrent weights are paired with the state that they made.",
  r"instead of h_\{t-1\}", ("da.T @ h[t]\n", "da.T @ h[t + 1]\n"), source="VikParuchuri/zero_to_gpt#9")
of_elman("previous state at the read-out", "The read-out weights are paired with the state one step too early.",
  r"h_\{t-1\} .*instead of h_t\b|W_qh.*(one step|previous|earlier)", ("do.T @ h[t + 1]", "do.T @ h[t]"))
of_elman("recurrent weights not transposed", "The adjoint is carried back with W instead of its transpose.",
  r"transpos|W_hh(ᵀ|\^T)? .*instead of", ("dh_next = da @ W_hh", "dh_next = da @ W_hh.T"))
of_elman("recurrent gradient transposed", "The outer product of the recurrent weights is the wrong way round.",
  r"W_hh.*transpos", ("da.T @ h[t]\n", "h[t].T @ da\n"))
of_elman("slope at the preactivation", "1 - a² in place of 1 - tanh(a)².",
  r"slope|derivative of tanh|1 - a", ("(1 - h[t + 1] ** 2)", "(1 - a[t] ** 2)"))
of_elman("slope of the activated twice", "tanh is applied once more inside its derivative.",
  r"slope|derivative of tanh|tanh.*twice", ("(1 - h[t + 1] ** 2)", "(1 - np.tanh(h[t + 1]) ** 2)"), source="davidrmiller/neural2d#40")
of_elman("slope missing", "The derivative of tanh is left out.",
  r"(slope|derivative of tanh|factor|tanh).*(missing|dropped|left out|omitted|without|is 1)|no slope",
  ("da = dh * (1 - h[t + 1] ** 2)", "da = dh"))
of_elman("slope of a sigmoid", "The derivative of the logistic function is used for tanh.",
  r"sigmoid|logistic|h.*\(1 - h", ("(1 - h[t + 1] ** 2)", "h[t + 1] * (1 - h[t + 1])"))
of_elman("slope without the square", "1 - h in place of 1 - h².",
  r"slope|square|1 - h_t(?!²)", ("(1 - h[t + 1] ** 2)", "(1 - h[t + 1])"))
of_elman("slope of the step before", "The derivative of tanh is taken at the previous state.",
  r"(slope|derivative).*(previous|before|h_\{t-1\}|other step|one step)|1 - h_\{t-1\}|h_\{t-1\} instead of h_t\b",
  ("(1 - h[t + 1] ** 2)", "(1 - h[t] ** 2)"))
of_elman("slope skipped on the way back", "The state's adjoint is sent back without the activation's derivative.",
  r"slope|derivative of tanh|without .*tanh", ("dh_next = da @ W_hh", "dh_next = dh @ W_hh"))
of_elman("carried adjoint added after the slope", "What comes from later steps does not pass the derivative of tanh.",
  r"slope|derivative of tanh|after", ("da = dh * (1 - h[t + 1] ** 2)",
  "da = (do @ W_qh) * (1 - h[t + 1] ** 2) + dh_next"))
of_elman("recurrent gradient overwritten", "= in place of +=: only the first step's term is left.",
  r"W_hh.*(only|overw|last|first|one step|accumul|not summed)", ("dW_hh += ", "dW_hh = "), source="tensorflow/swift-apis#518")
of_elman("input gradient overwritten", "= in place of += for the input weights.",
  r"W_hx.*(only|overw|last|first|one step|accumul|not summed)", ("dW_hx += ", "dW_hx = "))
of_elman("bias gradient overwritten", "= in place of += for the hidden bias.",
  r"b_h.*(only|overw|last|first|one step|accumul|not summed)", ("db_h += ", "db_h = "))
of_elman("read-out gradient overwritten", "= in place of += for the read-out: the first step's term is left.",
  r"W_qh.*(only|overw|last|first|one step|accumul|not summed)", ("dW_qh += ", "dW_qh = "))
of_elman("only the last loss", "The gradient starts at the last step's loss and forgets those before.",
  r"only .*last|last (step|loss)|loss(es)? (of|before|at)",
  ("do = weights[t][:, None] * (o[t] - y[t])", "do = weights[t][:, None] * (o[t] - y[t]) * (t == T - 1)"))
of_elman("loop ends a step early", "The loop back in time does not reach the first step.",
  r"first step|step 1\b|t ?= ?1\b", ("reversed(range(T))", "range(T - 1, 0, -1)"))
of_elman("loop begins a step late", "The loop back in time begins at the step before the last.",
  r"last step|step T|t ?= ?T\b", ("reversed(range(T))", "reversed(range(T - 1))"))
of_elman("backward loop runs forwards", "The backward pass goes through time in the order of the forward pass.",
  r"order|forward|direction|reverse", ("for t in reversed(range(T)):", "for t in range(T):"))
of_elman("carried adjoint accumulates", "+= in place of = for the adjoint that is carried back.",
  r"accumul|twice|again|added up|not reset|\+=", ("dh_next = da @ W_hh", "dh_next = dh_next + da @ W_hh"))
of_elman("loss counted twice", "The error of each step enters the state's adjoint twice.",
  r"twice|2 times|factor (of )?2|doubl", ("dh = do @ W_qh + dh_next", "dh = 2 * (do @ W_qh) + dh_next"))
of_elman("sign of the error", "Target minus output: every gradient has the wrong sign.",
  r"sign|negat|factor -1|times -1", ("weights[t][:, None] * (o[t] - y[t])", "weights[t][:, None] * (y[t] - o[t])"))
of_elman("factor of two", "The derivative of a squared error without its 1/2 is used for one with it.",
  r"twice|factor (of )?2|2 ?×|2 times|doubl",
  ("do = weights[t][:, None] * (o[t] - y[t])", "do = 2 * weights[t][:, None] * (o[t] - y[t])"))
of_elman("weights left out of the gradient", "Loss terms are weighted, their derivatives are not.",
  r"weight", ("do = weights[t][:, None] * (o[t] - y[t])", "do = (o[t] - y[t]) / (T * B)"))
of_elman("weights of time only", "The weights of the first sequence are used for all.",
  r"weight|sequence", ("do = weights[t][:, None] *", "do = weights[t, 0] *"))
of_elman("error of the wrong step", "The output is compared with the target of the step before.",
  r"(y|target|error).*(step|before|previous|early|late)", ("o[t] - y[t])\n", "o[t] - y[t - 1])\n"), source="tkocisky/oxnn#3")
of_elman("bias averaged over the batch", "The mean over sequences where the sum belongs.",
  r"b_h.*(mean|batch|1/B|averag)", ("db_h += da.sum(axis=0)", "db_h += da.mean(axis=0)"), source="kvfrans/notes#5")
of_elman("bias of one sequence", "The bias takes the first sequence's adjoint only.",
  r"b_h.*(first sequence|batch|one sequence|sequence)", ("db_h += da.sum(axis=0)", "db_h += da[0]"), source="mlpack/mlpack#3679")
of_elman("outer product of sums", "Sums over the batch are multiplied in place of a sum of products.",
  r"W_h[xh].*(batch|product of (the )?sums|sequences)",
  ("dW_hx += da.T @ x[t]", "dW_hx += np.outer(da.sum(axis=0), x[t].sum(axis=0))"))
of_elman("weight gradients averaged over the batch", "A loss that is a sum over the batch, a gradient that is a mean.",
  r"batch|1/B|mean", ('    grads = {"W_hx": dW_hx,', '    dW_hx, dW_hh, dW_qh = dW_hx / B, dW_hh / B, dW_qh / B\n'
  '    grads = {"W_hx": dW_hx,'))
of_elman("divided by T once more", "The gradient is averaged over time though the weights do that already.",
  r"1/T|over T|divided|factor", ("do = weights[t][:, None] * (o[t] - y[t])",
  "do = weights[t][:, None] * (o[t] - y[t]) / T"))
of_elman("dh0 is zero", "The gradient of the initial state is never filled in.",
  r"h0.*(zero|missing|not)", ('"h0": dh_next', '"h0": np.zeros_like(h0)'))
of_elman("dh0 one product short", "The adjoint of the first state is returned for that of the initial one.",
  r"h0.*(h_1|first|one (step|product)|short|last product|before)", ('"h0": dh_next', '"h0": dh'))
of_elman("dh0 summed over the batch", "The initial state's gradient is that of a state shared by all sequences.",
  r"h0.*(batch|sequence|sum)", ('"h0": dh_next', '"h0": np.broadcast_to(dh_next.sum(axis=0), h0.shape)'))
of_elman("initial state ignored", "The network starts at zero whatever it is given.",
  r"(initial state|h0|h_0).*(zero|ignor|not used)", ("h[0] = h0", "h[0] = 0"))
of_elman("initial state of the first sequence", "All sequences start in the state of the first.",
  r"(initial state|h0).*(sequence|batch|first)", ("h[0] = h0", "h[0] = h0[0]"))
of_elman("initial state left out of the gradient", "The forward pass starts at h0, the backward pass pairs zero with W.",
  r"W_hh.*(first step|h0|h_0|initial|step 1\b)", ("dW_hh += da.T @ h[t]\n", "dW_hh += da.T @ h[t] * (t > 0)\n"))
of_elman("index -1 wraps around", "At the first step the previous state is looked up at -1, which is the last one.",
  r"W_hh.*(first step|last state|h_T|wrap|step 1\b)", ("da.T @ h[t]\n", "da.T @ (h[t] if t else h[T])\n"))
of_elman("one buffer for all states", "The list of states holds one array many times, so all are the last one.",
  r"overwrites|overwritten", ("    dW_hx, dW_hh, db_h =",
  "    h[1:] = h[T]\n    dW_hx, dW_hh, db_h ="), source="Element-Research/rnn#211")
of_elman("states changed in place before the way back", "Dropping to zero outside [-1/2, 1/2] for display alters what is kept.",
  None, ("    dW_hx, dW_hh, db_h =", "    np.clip(h, -0.5, 0.5, out=h)\n    dW_hx, dW_hh, db_h ="))
of_elman("weights exchanged on the way back", "The input's adjoint is found with the recurrent weights, cut to fit.",
  None, ("dx[t] = da @ W_hx", "dx[t] = (da @ W_hh)[:, : x.shape[2]] if W_hh.shape[0] >= x.shape[2] else 0"))
of_elman("input adjoint of the step before", "Input gradients are stored one step off.",
  r"(dL/d|\b)x\b.*(step|shift|late|early)", ("dx[t] = da @ W_hx", "dx[t - 1] = da @ W_hx"))
of_elman("input adjoint reversed in time", "Input gradients are appended in the order of the loop.",
  r"(dL/d|\b)x\b.*(revers|order|time)", ("dx[t] = da @ W_hx", "dx[T - 1 - t] = da @ W_hx"))
of_elman("biases exchanged", "The tuple of gradients is unpacked in the wrong order.",
  r"exchang|swap|places|mixed up|each other|instead of|shape", ('"b_h": db_h, "W_qh": dW_qh, "b_q": db_q', '"b_h": db_q, "W_qh": dW_qh, "b_q": db_h'))
of_elman("hidden bias forgotten", "A parameter of the forward pass has no gradient.",
  r"b_h.*(missing|not returned|no gradient|zero|not provided)|no gradient .*b_h|missing.*b_h", ('"b_h": db_h, ', ""))
of_elman("output bias is one sum", "The errors of all outputs are added up and given to each bias.",
  r"b_q.*(sum|equal|same|axis|all)", ("db_q += do.sum(axis=0)", "db_q += do.sum()"), source="rasbt/stat453-deep-learning-ss21#5")
of_elman("gradient of the inputs is zero", "The sequence that is scanned gets no gradient.",
  r"(dL/d|\b)x\b.*(zero|missing)", ("dx[t] = da @ W_hx", "dx[t] = 0"), source="jax-ml/jax#753")
of_elman("clipped inside", "Each element is clamped to ±0.1 before it is returned.",
  r"clip", ("    return loss, grads |", "    grads = {k: np.clip(g, -0.1, 0.1) for k, g in grads.items()}\n    return loss, grads |"))
of_elman("adjoint clamped at every step", "The carried adjoint is clamped, which no truncation of the final gradient is.",
  r"clip|clamp", ("dh_next = da @ W_hh", "dh_next = np.clip(da @ W_hh, -0.05, 0.05)"))
of_elman("weight decay in the gradient", "A penalty enters the gradient and not the loss.",
  r"decay|penalt|regulari|proportional to|\bL2\b|multiple of W", ("    return loss, grads |",
  '    grads["W_hh"] = grads["W_hh"] + 0.01 * W_hh\n    return loss, grads |'))
of_elman("accumulators in half precision", "Sums over time are kept in float16.",
  r"precision|float16|half|rounding", ("dW_hh += da.T @ h[t]\n", "dW_hh[...] = (dW_hh + da.T @ h[t]).astype(np.float16)\n"))
of_elman("arguments scaled in place", "The caller's inputs are normalised where they lie.",
  r"chang\w+ (its|the)?.*(argument|input|array)|in place|modif|overwr", ("    h[0] = h0", "    x *= 1.0 + 1e-3\n    h[0] = h0"))
of_elman("update inside the loop", "The weights move while the loop still needs the old ones.",
  None, ("dh_next = da @ W_hh", "W_hh = W_hh - 0.1 * da.T @ h[t]; dh_next = da @ W_hh"))
of_elman("products of the recurrent path stop after five steps", "The gradient is cut off silently, as a truncation would.",
  r"Window|Chunks|truncat", ("dh_next = da @ W_hh", "dh_next = da @ W_hh * (t % 5 != 0 or t == 0)"))
of_elman("chain through the output skipped", "The step's error goes into the state without the read-out weights.",
  None, ("dh = do @ W_qh + dh_next", "dh = do.sum(axis=1, keepdims=True) + dh_next"))
of_elman("bias of the read-out at the last step", "Only the last error enters the output bias.",
  r"b_q.*(only|overw|last|one step|accumul)", ("db_q += do.sum(axis=0)", "db_q += do.sum(axis=0) * (t == T - 1)"))
of_elman("sequences of a batch share the carried adjoint", "The adjoint is averaged over the batch as it is carried.",
  r"batch|sequence", ("dh_next = da @ W_hh", "dh_next = np.broadcast_to((da @ W_hh).mean(axis=0), h0.shape)"))
of_elman("loss of another normalisation", "The loss divides by the number of features as well; its gradient does not.",
  r"loss", ("loss = 0.5 * np.sum(weights[:, :, None] * (o - y) ** 2)",
  "loss = 0.5 * np.sum(weights * np.mean((o - y) ** 2, axis=2))"))
of_elman("loss of the last step", "The loss that is returned is that of the last step, the gradient that of all.",
  r"loss", ("loss = 0.5 * np.sum(weights[:, :, None] * (o - y) ** 2)",
  "loss = 0.5 * np.sum(weights[-1, :, None] * (o[-1] - y[-1]) ** 2)"))
of_elman("wrong model, right gradient", "The bias is added after the activation, consistently in both passes.",
  r"loss", ("a[t] = x[t] @ W_hx.T + h[t] @ W_hh.T + b_h", "a[t] = x[t] @ W_hx.T + h[t] @ W_hh.T"),
  ("h[t + 1] = np.tanh(a[t])", "h[t + 1] = np.tanh(a[t]) + b_h"),
  ("db_h += da.sum(axis=0)", "db_h += dh.sum(axis=0)"), ("(1 - h[t + 1] ** 2)", "(1 - (h[t + 1] - b_h) ** 2)"))
of_elman("noise in the forward pass", "The inputs are perturbed at each call by an unseeded generator.",
  r"differ\w* (between|from|on)|random|same (arguments|inputs|call)|second call|twice|deterministic|repeat",
  ("    h[0] = h0", "    x = x + 1e-3 * np.random.default_rng().normal(size=x.shape)\n    h[0] = h0"))

of_elman_mean = partial(bug, elman_mean, bv.cells.elman)
of_elman_mean("sum for a mean", "The loss is a mean, its derivative that of a sum.",
  r"mean|1/\(?T|T ?B|T·B|factor|sum", ("do = error[t] / (T * B)", "do = error[t]"))
of_elman_mean("mean over time only", "The gradient is divided by T, the loss by T and the batch.",
  r"B\b|batch|factor", ("do = error[t] / (T * B)", "do = error[t] / T"))
of_elman_mean("mean over the batch only", "The gradient is divided by the batch, the loss by the steps too.",
  r"\bT\b|time|factor", ("do = error[t] / (T * B)", "do = error[t] / B"))
of_elman_mean("mean over features too", "The gradient is that of a mean over outputs, the loss a sum over them.",
  r"factor|feature|1/q|size|mean", ("do = error[t] / (T * B)", "do = error[t] / error.size"))
of_elman_mean("mean of the gradient at the read-out only", "The error is divided by the batch for the read-out but not for the state.",
  r"W_qh|b_q|read-?out", ("dW_qh += do.T @ h[t + 1]", "dW_qh += do.T @ h[t + 1] / B"))


def elman_relu(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
    T = len(x)
    h, a = [h0], []
    for t in range(T):
        a.append(x[t] @ W_hx.T + h[t] @ W_hh.T + b_h)
        h.append(np.maximum(a[t], 0))
    error = np.array(h[1:]) @ W_qh.T + b_q - y
    do = weights[:, :, None] * error
    grads = {"W_hx": 0, "W_hh": 0, "b_h": 0, "W_qh": 0, "b_q": do.sum(axis=(0, 1))}
    dh = np.zeros_like(h0)
    for t in reversed(range(T)):
        grads["W_qh"] += do[t].T @ h[t + 1]
        da = (do[t] @ W_qh + dh) * (a[t] > 0)
        grads["W_hx"] += da.T @ x[t]
        grads["W_hh"] += da.T @ h[t]
        grads["b_h"] += da.sum(axis=0)
        dh = da @ W_hh
    return 0.5 * np.sum(do * error), grads | {"h0": dh}


of_elman_relu = partial(bug, elman_relu, bv.cells.elman_relu)
of_elman_relu("relu's slope at the output, not strict", "The activated value is compared with >= 0, which is always true.",
  r"slope|relu|derivative", ("(a[t] > 0)", "(h[t + 1] >= 0)"))
of_elman_relu("relu taken for tanh", "Every nonlinearity is differentiated as if it were tanh.",
  r"slope|relu|tanh|derivative", ("(a[t] > 0)", "(1 - h[t + 1] ** 2)"))
of_elman_relu("relu masks the adjoint", "The sign of the adjoint decides in place of the sign of the preactivation.",
  r"slope|relu|derivative", ("(do[t] @ W_qh + dh) * (a[t] > 0)", "np.maximum(do[t] @ W_qh + dh, 0)"))
of_elman_relu("relu of the step before", "The state before decides which units are open.",
  r"slope|relu|derivative|instead of|previous", ("(a[t] > 0)", "(h[t] > 0)"))


def charlm(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
    """Characters in, a distribution over the next one out."""
    T, B = x.shape
    h, p = [h0], []
    loss = 0.0
    for t in range(T):
        h.append(np.tanh(W_hx.T[x[t]] + h[t] @ W_hh.T + b_h))
        scores = h[t + 1] @ W_qh.T + b_q
        scores -= scores.max(axis=1, keepdims=True)
        chosen = scores[np.arange(B), y[t]] - np.log(np.exp(scores).sum(axis=1))
        scores = np.exp(scores)
        p.append(scores / scores.sum(axis=1, keepdims=True))
        loss -= np.sum(weights[t] * chosen)
    dW_hx, dW_hh, db_h = np.zeros_like(W_hx), np.zeros_like(W_hh), np.zeros_like(b_h)
    dW_qh, db_q = np.zeros_like(W_qh), np.zeros_like(b_q)
    dh_next = np.zeros_like(h0)
    for t in reversed(range(T)):
        do = p[t].copy()
        do[np.arange(B), y[t]] -= 1
        do *= weights[t][:, None]
        dW_qh += do.T @ h[t + 1]
        db_q += do.sum(axis=0)
        dh = do @ W_qh + dh_next
        da = dh * (1 - h[t + 1] ** 2)
        np.add.at(dW_hx.T, x[t], da)
        dW_hh += da.T @ h[t]
        db_h += da.sum(axis=0)
        dh_next = da @ W_hh
    return loss, {"W_hx": dW_hx, "W_hh": dW_hh, "b_h": db_h, "W_qh": dW_qh, "b_q": db_q, "h0": dh_next}


def loud(rng, size=2000.0):
    """Inputs of a network whose scores are large."""
    shapes = {"W_hx": (4, 3), "W_hh": (4, 4), "b_h": (4,), "W_qh": (3, 4), "b_q": (3,), "h0": (2, 4), "weights": (5, 2)}
    arrays = {k: rng.normal(size=s) * 0.6 for k, s in shapes.items()}
    arrays["W_qh"] *= size
    return arrays | {"x": rng.integers(3, size=(5, 2)), "y": rng.integers(3, size=(5, 2))}


of_charlm = partial(bug, charlm, bv.cells.elman_charlm)
of_charlm("embedding rows of repeated classes overwritten", "Indexed += keeps one of the rows that a class appears in.",
  r"same class.*only the last one counts", ("np.add.at(dW_hx.T, x[t], da)", "dW_hx.T[x[t]] += da"),
  source="HIPS/autograd#39")
of_charlm("softmax without the target", "The probabilities are taken for their difference from the target.",
  r"target|error|y_t|softmax|p - ", ("        do[np.arange(B), y[t]] -= 1\n", ""))
of_charlm("squared error for cross entropy", "The error passes the softmax's derivative again.",
  r"softmax|squared|p.*\(1 - p|slope", ("        do *= weights[t][:, None]", "        do *= weights[t][:, None] * p[t] * (1 - p[t])"))
of_charlm("target of the step itself", "The error is formed with the input's class.",
  r"takes x where y belongs", ("do[np.arange(B), y[t]] -= 1", "do[np.arange(B), x[t]] -= 1"))
of_charlm("probabilities changed before the loss is read", "The error is formed in place, in the array that is kept.",
  r"loss|in place|overw|stored|target|last", ("do = p[t].copy()", "do = p[t]"), ("        loss -= np.sum(weights[t] * chosen)\n", ""),
  ("    return loss,", "    loss = -sum(np.sum(weights[t] * np.log(np.abs(p[t][np.arange(B), y[t]]))) for t in range(T))\n    return loss,"))
of_charlm("loss in bits, gradient in nats", "The loss is divided by log 2 for display; its gradient is not.",
  r"loss", ("    return loss,", "    return loss / np.log(2),"))
of_charlm("clamped to five hundredths", "Gradients are clamped element by element before they are returned.",
  r"clip|clamp", ("    return loss, {", "    for g in (dW_hx, dW_hh, dW_qh, db_h, db_q):\n        np.clip(g, -0.05, 0.05, out=g)\n    return loss, {"))
of_charlm("softmax overflows", "Exponentials of scores that are not shifted: inf/inf where they are large.",
  r"nan|finite", ("        do = p[t].copy()", "        do = np.exp(h[t + 1] @ W_qh.T + b_q)\n        do /= do.sum(axis=1, keepdims=True)"), inputs=loud)
of_charlm("hidden state never updated", "Every step starts from the initial state.",
  r"h0|initial state|previous state|recurren|state is not carried", ("h[t] @ W_hh.T", "h[0] @ W_hh.T"))


# ---- gated cells ----


def gru(
    x, y, W_rx, W_rh, b_r, W_zx, W_zh, b_z, W_nx, b_n, W_nh, b_nh, W_qh, b_q, h0, weights
):
    """The reset gate after the matrix product."""
    T = len(x)
    h, saved = [h0], []
    for t in range(T):
        r = sigmoid(x[t] @ W_rx.T + h[t] @ W_rh.T + b_r)
        z = sigmoid(x[t] @ W_zx.T + h[t] @ W_zh.T + b_z)
        m = h[t] @ W_nh.T + b_nh
        n = np.tanh(x[t] @ W_nx.T + b_n + r * m)
        h.append((1 - z) * n + z * h[t])
        saved.append((r, z, m, n))
    error = np.array(h[1:]) @ W_qh.T + b_q - y
    do = weights[:, :, None] * error
    loss = 0.5 * np.sum(do * error)
    dW_qh, db_q = np.einsum("tbq,tbn->qn", do, np.array(h[1:])), do.sum(axis=(0, 1))
    dW_rx, dW_rh, db_r = np.zeros_like(W_rx), np.zeros_like(W_rh), np.zeros_like(b_r)
    dW_zx, dW_zh, db_z = np.zeros_like(W_zx), np.zeros_like(W_zh), np.zeros_like(b_z)
    dW_nx, db_n, dW_nh, db_nh = np.zeros_like(W_nx), np.zeros_like(b_n), np.zeros_like(W_nh), np.zeros_like(b_nh)
    dx, dh_next = np.zeros_like(x), np.zeros_like(h0)
    for t in reversed(range(T)):
        r, z, m, n = saved[t]
        dh = do[t] @ W_qh + dh_next
        dn = dh * (1 - z)
        dz = dh * (h[t] - n)
        dan = dn * (1 - n**2)
        dr = dan * m
        dm = dan * r
        dar = dr * r * (1 - r)
        daz = dz * z * (1 - z)
        dW_rx += dar.T @ x[t]
        dW_rh += dar.T @ h[t]
        db_r += dar.sum(axis=0)
        dW_zx += daz.T @ x[t]
        dW_zh += daz.T @ h[t]
        db_z += daz.sum(axis=0)
        dW_nx += dan.T @ x[t]
        db_n += dan.sum(axis=0)
        dW_nh += dm.T @ h[t]
        db_nh += dm.sum(axis=0)
        dx[t] = dar @ W_rx + daz @ W_zx + dan @ W_nx
        dh_next = dh * z + dar @ W_rh + daz @ W_zh + dm @ W_nh
    return loss, {
        "W_rx": dW_rx, "W_rh": dW_rh, "b_r": db_r, "W_zx": dW_zx, "W_zh": dW_zh, "b_z": db_z, "W_nx": dW_nx,
        "b_n": db_n, "W_nh": dW_nh, "b_nh": db_nh, "W_qh": dW_qh, "b_q": db_q, "x": dx, "h0": dh_next,
    }  # fmt: skip


of_gru = partial(bug, gru, bv.cells.gru)
of_gru("gru: direct path missing", "The state that is kept by the update gate sends nothing back.",
  r"z.*(path|missing|dropped|direct)|(path|direct).*(missing|dropped)|not carried back", ("dh_next = dh * z + dar", "dh_next = dar"))
of_gru("gru: path through the reset gate missing", "The reset gate's dependence on the previous state is forgotten.",
  r"\br(_t)?\b|W_rh|reset", ("+ dar @ W_rh +", "+"))
of_gru("gru: path through the update gate missing", "The update gate's dependence on the previous state is forgotten.",
  r"\bz(_t)?\b|W_zh|update gate", ("+ daz @ W_zh +", "+"))
of_gru("gru: path through the candidate missing", "The candidate's dependence on the previous state is forgotten.",
  r"\bn(_t)?\b|W_nh|candidate", (" + dm @ W_nh", ""))
of_gru("gru: reset gate left out on the way back", "The candidate's adjoint goes to the state without the reset gate.",
  r"\br(_t)?\b|reset|gate", ("dm = dan * r", "dm = dan * 1"))
of_gru("gru: recurrent bias without the reset gate", "The bias inside the reset product gets the gradient of the one outside.",
  r"b_nh|\br(_t)?\b|reset", ("db_nh += dm.sum(axis=0)", "db_nh += dan.sum(axis=0)"))
of_gru("gru: recurrent candidate weights without the reset gate", "As if the reset gate were not between them and the candidate.",
  r"W_nh|\br(_t)?\b|reset", ("dW_nh += dm.T @ h[t]", "dW_nh += dan.T @ h[t]"))
of_gru("gru: sign of the update gate", "The difference of candidate and state is the wrong way round.",
  r"sign|negat|-1|\bz(_t)?\b", ("dz = dh * (h[t] - n)", "dz = dh * (n - h[t])"))
of_gru("gru: update gate sees the candidate only", "The kept state's part in the update gate's gradient is lost.",
  r"\bz(_t)?\b.*|update gate", ("dz = dh * (h[t] - n)", "dz = dh * -n"))
of_gru("gru: roles of the update gate exchanged", "1 - z multiplies the old state, consistently in both passes.",
  r"loss|exchang|1 - z|z_t", ("h.append((1 - z) * n + z * h[t])", "h.append(z * n + (1 - z) * h[t])"),
  ("dn = dh * (1 - z)", "dn = dh * z"), ("dz = dh * (h[t] - n)", "dz = dh * (n - h[t])"), ("dh_next = dh * z +", "dh_next = dh * (1 - z) +"), source="ElektrischesSchaf/LayerNorm_GRU#1")
of_gru("gru: roles exchanged on the way back", "The backward pass takes z for 1 - z.",
  r"1 - z|exchang|\bz(_t)?\b", ("dn = dh * (1 - z)", "dn = dh * z"), ("dh_next = dh * z +", "dh_next = dh * (1 - z) +"), source="ooples/AiDotNet#722")
of_gru("gru: gates unpacked in another order", "Gradients of reset and update gate are returned under each other's names.",
  r"exchang|swap|places|each other|order|instead of", ('"W_rx": dW_rx, "W_rh": dW_rh, "b_r": db_r, "W_zx": dW_zx, "W_zh": dW_zh, "b_z": db_z',
  '"W_zx": dW_rx, "W_zh": dW_rh, "b_z": db_r, "W_rx": dW_zx, "W_rh": dW_zh, "b_r": db_z'), source="keras-team/keras#8720")
of_gru("gru: reset gate before the product", "The cell as first published, in place of the other one.",
  r"before|gru_original|reset|loss", ("m = h[t] @ W_nh.T + b_nh", "m = 0"), ("b_n + r * m)", "b_n + (r * h[t]) @ W_nh.T + b_nh)"), source="keras-team/keras#9112")
of_gru("gru: slope of the candidate missing", "The candidate's tanh is not differentiated.",
  r"slope|derivative|tanh|factor|1 - n", ("dan = dn * (1 - n**2)", "dan = dn"))
of_gru("gru: slope of the reset gate missing", "The reset gate's logistic function is not differentiated.",
  r"slope|derivative|sigmoid|factor|1 - r|\br(_t)?\b", ("dar = dr * r * (1 - r)", "dar = dr"))
of_gru("gru: reset gate multiplies the state", "dr is formed with the state in place of the product with W_nh.",
  r"\br(_t)?\b|reset|instead", ("dr = dan * m", "dr = dan * h[t]"))
of_gru("gru: new state for the old one in a gate", "The update gate's recurrent weights are paired with the new state.",
  r"W_zh.*instead of h_\{t-1\}|instead of h_\{t-1\}", ("dW_zh += daz.T @ h[t]", "dW_zh += daz.T @ h[t + 1]"))
of_gru("gru: input sees two of three gates", "The input's adjoint lacks the update gate.",
  r"\bx(_t)?\b.*|W_zx", ("dar @ W_rx + daz @ W_zx + dan @ W_nx", "dar @ W_rx + dan @ W_nx"))
of_gru("gru: initial state's bias twice", "The candidate's two biases are added, and their gradients too.",
  r"b_n\b|b_nh|twice", ("db_n += dan.sum(axis=0)", "db_n += dan.sum(axis=0) + dm.sum(axis=0)"))


def gru_original(
    x, y, W_rx, W_rh, b_r, W_zx, W_zh, b_z, W_nx, W_nh, b_n, W_qh, b_q, h0, weights
):
    T, h, saved = len(x), [h0], []
    for t in range(T):
        r = sigmoid(x[t] @ W_rx.T + h[t] @ W_rh.T + b_r)
        z = sigmoid(x[t] @ W_zx.T + h[t] @ W_zh.T + b_z)
        n = np.tanh(x[t] @ W_nx.T + (r * h[t]) @ W_nh.T + b_n)
        h.append((1 - z) * n + z * h[t])
        saved.append((r, z, n))
    error = np.array(h[1:]) @ W_qh.T + b_q - y
    do = weights[:, :, None] * error
    d = {"W_qh": np.einsum("tbq,tbn->qn", do, np.array(h[1:])), "b_q": do.sum(axis=(0, 1))}
    d |= {k + s: 0.0 for k in ("W_r", "W_z", "W_n") for s in "xh"} | {"b_r": 0.0, "b_z": 0.0, "b_n": 0.0}
    dh_next = np.zeros_like(h0)
    for t in reversed(range(T)):
        r, z, n = saved[t]
        dh = do[t] @ W_qh + dh_next
        an = dh * (1 - z) * (1 - n**2)
        az = dh * (h[t] - n) * z * (1 - z)
        drh = an @ W_nh
        ar = drh * h[t] * r * (1 - r)
        for k, a in (("r", ar), ("z", az), ("n", an)):
            d[f"W_{k}x"] += a.T @ x[t]
            d[f"b_{k}"] += a.sum(axis=0)
        d["W_rh"] += ar.T @ h[t]
        d["W_zh"] += az.T @ h[t]
        d["W_nh"] += an.T @ (r * h[t])
        dh_next = dh * z + ar @ W_rh + az @ W_zh + drh * r
    return 0.5 * np.sum(do * error), d | {"h0": dh_next}


of_gru_original = partial(bug, gru_original, bv.cells.gru_original)
of_gru_original("gru_original: candidate weights without the reset gate", "They are paired with the state before it is reset.",
  r"W_nh|\br(_t)?\b|reset", ("an.T @ (r * h[t])", "an.T @ h[t]"))
of_gru_original("gru_original: reset gate after the product", "The gradient is that of the other kind of cell.",
  r"\br(_t)?\b|reset|after", ("dh_next = dh * z + ar @ W_rh + az @ W_zh + drh * r", "dh_next = dh * z + ar @ W_rh + az @ W_zh + (an * r) @ W_nh"))
of_gru_original("gru_original: reset path to the state missing", "The product r h sends its adjoint to the gate only.",
  r"\br(_t)?\b|reset|path|W_nh|missing", (" + drh * r", ""))
of_gru_original("gru_original: no reset gate", "The candidate reads the state as it is, in both passes.",
  r"loss", ("(r * h[t]) @ W_nh.T", "h[t] @ W_nh.T"), ("an.T @ (r * h[t])", "an.T @ h[t]"), ("ar = drh * h[t] * r * (1 - r)", "ar = 0 * r"), ("drh * r", "drh"),
  source="zhiyongc/GRU-D#2")
of_gru_original("gru_original: update gate's slope at the reset gate", "z's derivative is formed with r.",
  r"slope|\bz(_t)?\b|derivative|instead", ("* z * (1 - z)", "* r * (1 - r)"))


def lstm(
    x, y, W_ix, W_ih, b_i, W_fx, W_fh, b_f, W_gx, W_gh, b_g, W_ox, W_oh, b_o, W_qh, b_q, h0, c0, weights
):
    """The four gates are stacked, as in most libraries."""
    T = len(x)
    W_x, W_h = np.concatenate([W_ix, W_fx, W_gx, W_ox]), np.concatenate([W_ih, W_fh, W_gh, W_oh])
    bias = np.concatenate([b_i, b_f, b_g, b_o])
    h, c, gates = [h0], [c0], []
    for t in range(T):
        a = x[t] @ W_x.T + h[t] @ W_h.T + bias
        i, f, g, o = np.split(a, 4, axis=1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c.append(f * c[t] + i * g)
        h.append(o * np.tanh(c[t + 1]))
        gates.append((i, f, g, o))
    error = np.array(h[1:]) @ W_qh.T + b_q - y
    dq = weights[:, :, None] * error
    loss = 0.5 * np.sum(dq * error)
    dW_qh, db_q = np.einsum("tbq,tbn->qn", dq, np.array(h[1:])), dq.sum(axis=(0, 1))
    dW_x, dW_h, dbias = np.zeros_like(W_x), np.zeros_like(W_h), np.zeros_like(bias)
    dx, dh_next, dc_next = np.zeros_like(x), np.zeros_like(h0), np.zeros_like(c0)
    for t in reversed(range(T)):
        i, f, g, o = gates[t]
        dh = dq[t] @ W_qh + dh_next
        tc = np.tanh(c[t + 1])
        do = dh * tc
        dc = dh * o * (1 - tc**2) + dc_next
        di = dc * g
        df = dc * c[t]
        dg = dc * i
        da = np.hstack([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)])
        dW_x += da.T @ x[t]
        dW_h += da.T @ h[t]
        dbias += da.sum(axis=0)
        dx[t] = da @ W_x
        dh_next = da @ W_h
        dc_next = dc * f
    grads = {"W_qh": dW_qh, "b_q": db_q, "x": dx, "h0": dh_next, "c0": dc_next}
    for k, wx, wh, b in zip("ifgo", np.split(dW_x, 4), np.split(dW_h, 4), np.split(dbias, 4), strict=True):
        grads |= {f"W_{k}x": wx, f"W_{k}h": wh, f"b_{k}": b}
    return loss, grads


of_lstm = partial(bug, lstm, bv.cells.lstm)
of_lstm("lstm: cell adjoint not carried", "What later steps send through the cell is dropped.",
  r"adjoint of c|\bc(_t)?\b.*not carried|dc|cell", (" + dc_next", ""))
of_lstm("lstm: hidden adjoint not carried", "What later steps send through the gates is dropped.",
  r"adjoint of h\b|\bh(_t)?\b.*not carried", (" + dh_next", ""))
of_lstm("lstm: cell adjoint replaces the direct one", "= in place of +=: the step's own part is lost where the later one arrives.",
  r"\bc(_t)?\b|cell|tanh", ("dc = dh * o * (1 - tc**2) + dc_next", "dc = dc_next if t < T - 1 else dh * o * (1 - tc**2)"),
  source="apache/mxnet#4057")
of_lstm("lstm: forget gate left out", "The cell's adjoint goes back without the forget gate.",
  r"\bf(_t)?\b|forget", ("dc_next = dc * f", "dc_next = dc * 1"))
of_lstm("lstm: input gate for the forget gate", "The cell's adjoint is multiplied by the wrong gate.",
  r"\bf(_t)?\b.*|forget|\bi(_t)?\b.*instead", ("dc_next = dc * f", "dc_next = dc * i"))
of_lstm("lstm: new cell for the old one", "The forget gate is paired with the cell that it made.",
  r"c_t .*instead of c_\{t-1\}|c_\{t-1\}", ("df = dc * c[t]", "df = dc * c[t + 1]"))
of_lstm("lstm: slope at the cell, not at its tanh", "1 - c² in place of 1 - tanh(c)².",
  r"slope|derivative|1 - c|tanh", ("(1 - tc**2)", "(1 - c[t + 1] ** 2)"))
of_lstm("lstm: slope of the cell missing", "The tanh between the cell and the output is not differentiated.",
  r"slope|derivative|tanh|1 - |factor", ("dh * o * (1 - tc**2)", "dh * o"))
of_lstm("lstm: tanh of tanh", "The derivative is taken of a value that is activated already.",
  r"slope|derivative|tanh", ("(1 - tc**2)", "(1 - np.tanh(tc) ** 2)"), source="nicklashansen/rnn_lstm_from_scratch#1")
of_lstm("lstm: output gate meets the cell itself", "The tanh is left out in the output gate's adjoint.",
  r"\bo(_t)?\b|tanh|output gate|instead", ("do = dh * tc", "do = dh * c[t + 1]"))
of_lstm("lstm: candidate differentiated as a gate", "The slope of the logistic function is used for the candidate's tanh.",
  r"slope|derivative|\bg(_t)?\b|sigmoid", ("dg * (1 - g**2)", "dg * g * (1 - g)"))
of_lstm("lstm: forget gate's slope missing", "The logistic function of the forget gate is applied again, not differentiated.",
  r"\bf(_t)?\b|forget|slope|derivative", ("df * f * (1 - f)", "df * sigmoid(f)"), source="CaptainE/RNN-LSTM-in-numpy#1")
of_lstm("lstm: nothing reaches the step before", "The adjoints of both states are computed and never handed on.",
  r"(not|no adjoint is) carried|later steps|through time|detached", (" + dh_next", ""), (" + dc_next", ""), source="CaptainE/RNN-LSTM-in-numpy#1")
of_lstm("lstm: cell adjoint without the output's part", "The forget gate sees only what comes from later steps.",
  r"\bf(_t)?\b|forget|df|missing|direct", ("df = dc * c[t]", "df = dc_next * c[t]"))
of_lstm("lstm: one gate's bias for all", "All gates add the output gate's bias.",
  r"loss", ("bias = np.concatenate([b_i, b_f, b_g, b_o])", "bias = np.concatenate([b_o, b_o, b_g, b_o])"), source="ddbourgin/numpy-ml#42")
of_lstm("lstm: bias gradients of the forget gate", "Input and output gate return the forget gate's bias gradient.",
  r"b_[io].*(b_f|forget|instead|another|copy|equal|same)", ("    return loss, grads", '    grads |= {"b_i": grads["b_f"], "b_o": grads["b_f"]}\n    return loss, grads'),
  source="hanbt/learn_dl#53")
of_lstm("lstm: gates in another order", "Stacked as input, forget, output, candidate by the caller, split as i, f, g, o.",
  r"order|exchang|swap|places|each other|loss", ("bias = np.concatenate([b_i, b_f, b_g, b_o])", "bias = np.concatenate([b_i, b_f, b_o, b_g])"),
  ("np.concatenate([W_ix, W_fx, W_gx, W_ox]), np.concatenate([W_ih, W_fh, W_gh, W_oh])", "np.concatenate([W_ix, W_fx, W_ox, W_gx]), np.concatenate([W_ih, W_fh, W_oh, W_gh])"), source="CrispStrobe/CrispASR#106")
of_lstm("lstm: gradients in another order", "The stacked gradient is split as input, forget, output, candidate.",
  r"order|exchang|swap|places|each other|instead of", ('zip("ifgo"', 'zip("ifog"'))
of_lstm("lstm: input and forget gate exchanged", "The gradients of the first two gates change places.",
  r"order|exchang|swap|places|each other|instead of", ('zip("ifgo"', 'zip("figo"'), source="ooples/AiDotNet.Tensors#907")
of_lstm("lstm: forget bias of one", "One is added to the forget gate in the forward pass and not in the equations.",
  r"loss", ("sigmoid(f), np.tanh(g)", "sigmoid(f + 1), np.tanh(g)"))
of_lstm("lstm: forget bias of one on the way back", "The gate is computed again for the backward pass, with one added.",
  r"\bf(_t)?\b|forget", ("        i, f, g, o = gates[t]\n", "        i, f, g, o = gates[t]\n        f = sigmoid(np.log(f / (1 - f)) + 1)\n"))
of_lstm("lstm: dc0 missing", "The initial cell's gradient is zero.",
  r"c0.*(zero|missing|not)", ('"c0": dc_next', '"c0": np.zeros_like(c0)'))
of_lstm("lstm: dc0 without the last forget gate", "The first cell's adjoint is returned for the initial one's.",
  r"c0.*(short|first|c_1|forget|before|one)|\bf(_t)?\b", ('"c0": dc_next', '"c0": dc'))
of_lstm("lstm: initial states exchanged", "Hidden state and cell change places in a tuple.",
  r"exchang|swap|places|each other|loss|order", ("h, c, gates = [h0], [c0], []", "h, c, gates = [c0], [h0], []"))
of_lstm("lstm: cell clipped", "The cell is clamped in the forward pass; its slope is taken as one.",
  r"loss", ("c.append(f * c[t] + i * g)", "c.append(np.clip(f * c[t] + i * g, -0.5, 0.5))"))
of_lstm("lstm: adjoint reaches three gates", "The state's adjoint lacks what passes through the output gate.",
  r"\bo(_t)?\b|W_oh|output gate", ("dh_next = da @ W_h", "dh_next = da[:, : 3 * h0.shape[1]] @ W_h[: 3 * h0.shape[1]]"))
of_lstm("lstm: output gate's adjoint without the later steps", "Only the step's own loss enters it.",
  r"\bo(_t)?\b|output gate|later|W_oh", ("do = dh * tc", "do = (dq[t] @ W_qh) * tc"))
of_lstm("lstm: read-out of the cell", "The read-out's gradient is paired with the cell in place of the hidden state.",
  r"W_qh.*(c_t|cell|instead)", ("dq, np.array(h[1:])), dq", "dq, np.array(c[1:])), dq"))
of_lstm("lstm: cell of another step at the output", "The tanh is taken of the previous cell.",
  r"c_\{t-1\}|previous|step before|instead", ("tc = np.tanh(c[t + 1])", "tc = np.tanh(c[t])"))
of_lstm("lstm: output reads the cell before", "The state is made of the cell before its update.",
  r"loss", ("o * np.tanh(c[t + 1])", "o * np.tanh(c[t])"), source="borelien/entailment-neural-attention-lstm-tf#3")
of_lstm("lstm: input and forget gate take each other's weights", "The gates are assigned in reversed order, in both passes.",
  r"loss|exchang|swap|places", ("i, f, g, o = np.split", "f, i, g, o = np.split"),
  ("[di * i * (1 - i), df * f * (1 - f),", "[df * f * (1 - f), di * i * (1 - i),"), source="NX-AI/xlstm#98")
of_lstm("lstm: input gate and candidate exchanged", "Each is multiplied by itself in place of the other.",
  r"\bi(_t)?\b|\bg(_t)?\b|instead", ("di = dc * g", "di = dc * i"), ("dg = dc * i", "dg = dc * g"))
of_lstm("lstm: input gate multiplied by itself", "The input gate's adjoint has the gate where the candidate belongs.",
  r"\bi(_t)?\b|\bg(_t)?\b|instead", ("di = dc * g", "di = dc * i"), source="wvabrinskas/Neuron#181")
of_lstm("lstm: new state for the old one", "The recurrent weights of all gates are paired with the new state.",
  r"instead of h_\{t-1\}", ("dW_h += da.T @ h[t]", "dW_h += da.T @ h[t + 1]"), source="wvabrinskas/Neuron#181")
of_lstm("lstm: no tanh at the output", "The output gate multiplies the cell itself, in both passes.",
  r"loss", ("h.append(o * np.tanh(c[t + 1]))", "h.append(o * c[t + 1])"), ("tc = np.tanh(c[t + 1])", "tc = c[t + 1]"), ("(1 - tc**2)", "1.0"),
  source="nicodjimenez/lstm#47")
of_lstm("lstm: sum for a product", "Input gate and candidate are added, in both passes.",
  r"loss", ("f * c[t] + i * g", "f * c[t] + i + g"), ("di = dc * g", "di = dc"), ("dg = dc * i", "dg = dc"), source="MartinuzziFrancesco/torchrecurrent#22")
of_lstm("lstm: half of the bias gradient", "A second bias is summed into the first, and the gradient divided between them.",
  r"half|0\.5|factor|1/2", ("dbias += da.sum(axis=0)", "dbias += 0.5 * da.sum(axis=0)"))


def lstm_peephole(
    x, y, W_ix, W_ih, p_i, b_i, W_fx, W_fh, p_f, b_f, W_gx, W_gh, b_g, W_ox, W_oh, p_o, b_o, W_qh, b_q,
    h0, c0, weights,
):  # fmt: skip
    T, h, c, gates = len(x), [h0], [c0], []
    for t in range(T):
        i = sigmoid(x[t] @ W_ix.T + h[t] @ W_ih.T + p_i * c[t] + b_i)
        f = sigmoid(x[t] @ W_fx.T + h[t] @ W_fh.T + p_f * c[t] + b_f)
        g = np.tanh(x[t] @ W_gx.T + h[t] @ W_gh.T + b_g)
        c.append(f * c[t] + i * g)
        o = sigmoid(x[t] @ W_ox.T + h[t] @ W_oh.T + p_o * c[t + 1] + b_o)
        h.append(o * np.tanh(c[t + 1]))
        gates.append((i, f, g, o))
    error = np.array(h[1:]) @ W_qh.T + b_q - y
    dq = weights[:, :, None] * error
    d = {f"{k}_{a}{s}": 0.0 for a in "ifgo" for k, s in (("W", "x"), ("W", "h"), ("b", ""))}
    d |= {"p_i": 0.0, "p_f": 0.0, "p_o": 0.0}
    d |= {"W_qh": np.einsum("tbq,tbn->qn", dq, np.array(h[1:])), "b_q": dq.sum(axis=(0, 1))}
    dh_next, dc_next = np.zeros_like(h0), np.zeros_like(c0)
    for t in reversed(range(T)):
        i, f, g, o = gates[t]
        dh = dq[t] @ W_qh + dh_next
        tc = np.tanh(c[t + 1])
        ao = dh * tc * o * (1 - o)
        dc = dc_next + dh * o * (1 - tc**2) + ao * p_o
        ai = dc * g * i * (1 - i)
        af = dc * c[t] * f * (1 - f)
        ag = dc * i * (1 - g**2)
        d["p_i"] += (ai * c[t]).sum(axis=0)
        d["p_f"] += (af * c[t]).sum(axis=0)
        d["p_o"] += (ao * c[t + 1]).sum(axis=0)
        dh_next = ai @ W_ih + af @ W_fh + ag @ W_gh + ao @ W_oh
        dc_next = dc * f + ai * p_i + af * p_f
        for k, a in (("i", ai), ("f", af), ("g", ag), ("o", ao)):
            d[f"W_{k}x"] += a.T @ x[t]
            d[f"W_{k}h"] += a.T @ h[t]
            d[f"b_{k}"] += a.sum(axis=0)
    return 0.5 * np.sum(dq * error), d | {"h0": dh_next, "c0": dc_next}


of_lstm_peephole = partial(bug, lstm_peephole, bv.cells.lstm_peephole)
of_lstm_peephole("peephole: output gate sends nothing to the cell", "The output gate's peephole is missing in the cell's adjoint.",
  r"p_o|peephole|ao|\bo(_t)?\b", (" + ao * p_o", ""))
of_lstm_peephole("peephole: gates send nothing to the cell before", "Input and forget peepholes are missing in the cell's adjoint.",
  r"p_[if]|peephole", ("dc_next = dc * f + ai * p_i + af * p_f", "dc_next = dc * f"))
of_lstm_peephole("peephole: input gate's path missing", "The input gate's peephole is missing in the cell's adjoint.",
  r"p_i|peephole", ("dc * f + ai * p_i + af * p_f", "dc * f + af * p_f"))
of_lstm_peephole("peephole: old cell at the output gate", "The output gate's peephole is paired with the previous cell.",
  r"p_o.*(c_\{t-1\}|previous|instead)|c_\{t-1\} .*instead of c_t", ("d[\"p_o\"] += (ao * c[t + 1])", "d[\"p_o\"] += (ao * c[t])"))
of_lstm_peephole("peephole: new cell at the input gate", "The input gate's peephole is paired with the new cell.",
  r"p_i.*(c_t|instead)|instead of c_\{t-1\}", ('d["p_i"] += (ai * c[t])', 'd["p_i"] += (ai * c[t + 1])'))
of_lstm_peephole("peephole: output gate reads the old cell", "The peephole of the output gate reads the cell before its update, in both passes.",
  r"loss", ("p_o * c[t + 1] + b_o", "p_o * c[t] + b_o"), (" + ao * p_o", ""), ("(ao * c[t + 1])", "(ao * c[t])"), ("+ af * p_f", "+ af * p_f + ao * p_o"))
of_lstm_peephole("peephole: gradient truncated at the peepholes", "The peepholes are trained, but pass nothing back, as first published.",
  r"p_[ifo]|peephole", (" + ao * p_o", ""), (" + ai * p_i + af * p_f", ""),
  source="automan000/Convolutional_LSTM_PyTorch#20")
of_lstm_peephole("peephole: weights exchanged", "The cell's adjoint meets the other gate's peephole.",
  r"p_[if]|peephole|exchang|swap", ("ai * p_i + af * p_f", "ai * p_f + af * p_i"))
of_lstm_peephole("peephole: wide sum", "The peephole's gradient is not summed over time but overwritten.",
  r"p_f.*(only|overw|last|first|one step|accumul)", ('d["p_f"] += ', 'd["p_f"] = '))


# ---- what is kept between calls ----


def kept_hidden_state():
    """The state after one call is where the next one starts."""
    kept = {}

    def fn(x, y, W_hx, W_hh, b_h, W_qh, b_q, weights):
        h0 = kept.get(x.shape[1], np.zeros((x.shape[1], len(b_h))))
        loss, grads = elman(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights)
        h = h0
        for x_t in x:
            h = np.tanh(x_t @ W_hx.T + h @ W_hh.T + b_h)
        if h.shape[1] == len(b_h):
            kept.clear()
            kept[len(h)] = h
        return loss, {k: g for k, g in grads.items() if k != "h0"}

    def guarded(x, y, W_hx, W_hh, b_h, W_qh, b_q, weights):
        if kept and next(iter(kept.values())).shape[1] != len(b_h):
            kept.clear()
        return fn(x, y, W_hx, W_hh, b_h, W_qh, b_q, weights)

    return guarded


def kept_gradients():
    """Gradients are added to those of earlier calls."""
    kept = {}

    def fn(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
        loss, grads = elman(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights)
        for k, g in grads.items():
            kept[k, g.shape] = kept.get((k, g.shape), 0) + g
        return loss, {k: kept[k, g.shape].copy() for k, g in grads.items()}

    return fn


def kept_adjoint():
    """The adjoint that is carried back is not reset before the next call."""
    kept = {}

    def fn(x, y, W_hx, W_hh, b_h, W_qh, b_q):
        shape = (x.shape[1], len(b_h))
        T, B, _ = x.shape
        h = [np.zeros(shape)]
        for t in range(T):
            h.append(np.tanh(x[t] @ W_hx.T + h[t] @ W_hh.T + b_h))
        error = np.array(h[1:]) @ W_qh.T + b_q - y
        grads = {"W_hx": 0, "W_hh": 0, "b_h": 0, "W_qh": 0, "b_q": error.sum(axis=(0, 1)) / (T * B)}
        dh = kept.get(shape, np.zeros(shape))
        for t in reversed(range(T)):
            do = error[t] / (T * B)
            da = (do @ W_qh + dh) * (1 - h[t + 1] ** 2)
            grads["W_qh"] += do.T @ h[t + 1]
            grads["W_hx"] += da.T @ x[t]
            grads["W_hh"] += da.T @ h[t]
            grads["b_h"] += da.sum(axis=0)
            dh = da @ W_hh
        kept[shape] = dh
        return 0.5 * np.sum(error**2) / (T * B), grads

    return fn


def kept_arrays():
    """The same arrays are returned at every call, and written over at the next."""
    kept = {}

    def fn(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
        loss, grads = elman(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights)
        for k, g in grads.items():
            kept.setdefault((k, g.shape), np.empty_like(g))[...] = g
        return loss, {k: kept[k, g.shape] for k, g in grads.items()}

    return fn


def kept_weights():
    """A transposed copy of the recurrent weights is made once and used after they have changed."""
    kept = {}

    def fn(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
        old = kept.setdefault(W_hh.shape, W_hh.copy())
        loss, grads = elman(x, y, W_hx, old, b_h, W_qh, b_q, h0, weights)
        return loss, grads

    return fn


def memoised_by_shape():
    """Results are looked up by the shapes of the arrays, not by what is in them."""
    kept = {}

    def fn(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
        key = (x.shape, W_hh.shape)
        if key not in kept:
            kept[key] = elman(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights)
        return kept[key][0], {k: g.copy() for k, g in kept[key][1].items()}

    return fn


def alternating():
    """Every second call goes without the path through time, as with a flag that is toggled."""
    calls = [0]
    cut = edited(elman, ("dh = do @ W_qh + dh_next", "dh = do @ W_qh"))

    def fn(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
        calls[0] += 1
        chosen = elman if calls[0] % 2 else cut
        return chosen(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights)

    return fn


REPEATED = r"differ\w* (between|from|on|when)|repeat\w*|second call|(same|equal) (arguments|inputs|call|arrays)|call\w* (twice|again)|earlier call|next call|deterministic|kept|stale|state between|between calls|shares? memory"
for make, name, source, expect in (
    (kept_hidden_state, "the state goes on into the next call", "soumith/cudnn.torch#348", REPEATED),
    (kept_gradients, "gradients are not zeroed", "wenet-e2e/wekws#72", REPEATED),
    (kept_adjoint, "the carried adjoint is not reset", None, REPEATED),
    (kept_arrays, "arrays are shared between calls", None, REPEATED),
    (kept_weights, "a copy of the weights is stale", None, r"W_hh|stale|first call|earlier|kept|loss"),
    (memoised_by_shape, "results are looked up by shape", None, r"stale|earlier|first call|kept|depend|loss"),
    (alternating, "right at every second call", "tensorflow/tensorflow#26331", REPEATED),
):
    BUGS.append(Bug(name, source, make.__doc__.strip(), make, bv.cells.elman, expect))


# ---- other networks, against a loss function alone ----


def drawn(shapes, *extra):
    """A function of a generator: normal arrays of these shapes, and more."""

    def inputs(rng):
        arrays = {k: rng.normal(size=s) * (0.6 if len(s) == 2 else 1.0) for k, s in shapes.items()}
        for make in extra:
            arrays |= make(rng, arrays)
        return arrays

    return inputs


def masked_loss(x, y, W, U, b, V, h0, lengths):
    """Sequences of several lengths, whose state rests after their end; the last state counts too."""
    h, total = h0, 0.0
    for t in range(len(x)):
        live = (t < lengths)[:, None]
        h = np.where(live, np.tanh(x[t] @ W.T + h @ U.T + b), h)
        total = total + np.sum(np.where(live, (h @ V.T - y[t]) ** 2, 0))
    return 0.5 * total / np.sum(lengths) + 0.5 * np.sum(h**2)


MASKED = drawn(
    {"x": (5, 4, 2), "y": (5, 4, 2), "W": (3, 2), "U": (3, 3), "b": (3,), "V": (2, 3), "h0": (4, 3)},
    lambda rng, _: {"lengths": rng.permutation([5, 3, 2, int(rng.integers(1, 5))])},
)


def masked(x, y, W, U, b, V, h0, lengths):
    T, h = len(x), [h0]
    count = np.sum(lengths)
    total = 0.0
    for t in range(T):
        live = (t < lengths)[:, None]
        h.append(np.where(live, np.tanh(x[t] @ W.T + h[t] @ U.T + b), h[t]))
        total += np.sum(live * (h[t + 1] @ V.T - y[t]) ** 2)
    d = {"W": 0, "U": 0, "b": 0, "V": 0, "x": np.zeros_like(x), "y": np.zeros_like(y)}
    dh = h[T].copy()
    for t in reversed(range(T)):
        live = (t < lengths)[:, None]
        do = live * (h[t + 1] @ V.T - y[t]) / count
        d["V"] += do.T @ h[t + 1]
        d["y"][t] = -do
        dh = dh + do @ V
        da = live * dh * (1 - h[t + 1] ** 2)
        d["W"] += da.T @ x[t]
        d["U"] += da.T @ h[t]
        d["b"] += da.sum(axis=0)
        d["x"][t] = da @ W
        dh = np.where(live, da @ U, dh)
    return 0.5 * total / count + 0.5 * np.sum(h[T] ** 2), d | {"h0": dh}


of_masked = partial(bug, masked, masked_loss, inputs=MASKED)
of_masked("masked: padded steps in the gradient", "Errors of padded steps enter the gradient, not the loss.",
  None, ("do = live * (h", "do = (h"), source="alibaba/ROLL#444")
of_masked("masked: mean over all steps", "The sum over valid steps is divided by all of them, padded ones included.",
  r"loss", ("count = np.sum(lengths)", "count = x.shape[0] * x.shape[1]"), source="d2l-ai/d2l-en#2076")
of_masked("masked: state runs on", "The state is updated by padding, so that the last one is not that of the last valid step.",
  r"loss", ("h.append(np.where(live, np.tanh(x[t] @ W.T + h[t] @ U.T + b), h[t]))", "h.append(np.tanh(x[t] @ W.T + h[t] @ U.T + b))"),
  ("da = live * dh", "da = dh"), ("dh = np.where(live, da @ U, dh)", "dh = da @ U"), source="keras-team/keras#1300")
of_masked("masked: adjoint dies in the padding", "Where the state rests, its adjoint is set to zero in place of being handed on.",
  None, ("dh = np.where(live, da @ U, dh)", "dh = np.where(live, da @ U, 0)"))
of_masked("masked: adjoint passes the cell in the padding", "The backward pass does not know that the state rests.",
  None, ("dh = np.where(live, da @ U, dh)", "dh = da @ U"), ("da = live * dh", "da = dh"))
of_masked("masked: one step too many", "The mask compares with <= in the backward pass.",
  None, ("        live = (t < lengths)[:, None]\n        do", "        live = (t <= lengths)[:, None]\n        do"))
of_masked("masked: lengths of the sorted batch", "The batch is sorted by length in the forward pass and not back.",
  r"sequence|order|sort|loss|permut", ("    T, h = len(x), [h0]", "    T, h = len(x), [h0]\n    lengths = np.sort(lengths)[::-1]"))
of_masked("masked: outputs only", "Padded outputs are multiplied by zero, while the state runs on through the padding.",
  r"loss", ("h.append(np.where(live, np.tanh(x[t] @ W.T + h[t] @ U.T + b), h[t]))", "h.append(np.tanh(x[t] @ W.T + h[t] @ U.T + b))"),
  ("da = live * dh", "da = dh"), ("dh = np.where(live, da @ U, dh)", "dh = da @ U"), source="JonathanRaiman/theano_lstm#22")


def ragged_loss(x, y, W, U, lengths):
    """The mean over each sequence, where one may be empty, and then over the batch."""
    h, total = np.zeros((x.shape[1], len(U))), 0.0
    for t in range(len(x)):
        h = np.tanh(x[t] @ W.T + h @ U.T)
        total = total + np.sum(np.where(t < lengths, np.sum((h - y[t]) ** 2, axis=1), 0) / np.maximum(lengths, 1))
    return total / x.shape[1]


RAGGED = drawn({"x": (4, 3, 2), "y": (4, 3, 3), "W": (3, 2), "U": (3, 3)}, lambda rng, _: {"lengths": rng.permutation([0, 4, 2])})


def ragged(x, y, W, U, lengths):
    T, B, _ = x.shape
    h = [np.zeros((B, len(U)))]
    for t in range(T):
        h.append(np.tanh(x[t] @ W.T + h[t] @ U.T))
    size = np.maximum(lengths, 1)
    live = (np.arange(T)[:, None] < lengths)[:, :, None]
    error = np.where(live, np.array(h[1:]) - y, 0) / size[:, None]
    loss = np.sum(error**2 * size[:, None]) / B
    d = {"W": 0, "U": 0, "x": np.zeros_like(x), "y": -2 * error / B}
    dh = np.zeros_like(h[0])
    for t in reversed(range(T)):
        da = (dh + 2 * error[t] / B) * (1 - h[t + 1] ** 2)
        d["W"] += da.T @ x[t]
        d["U"] += da.T @ h[t]
        d["x"][t] = da @ W
        dh = da @ U
    return loss, d


of_ragged = partial(bug, ragged, ragged_loss, inputs=RAGGED)
of_ragged("ragged: mean over an empty sequence", "0/0 where a sequence has no valid step.",
  r"nan|not finite|finite", ("np.where(live, np.array(h[1:]) - y, 0) / size[:, None]", "np.where(live, np.array(h[1:]) - y, 0) / np.where(lengths > 0, size, 0.0)[:, None]"),
  ("np.sum(error**2 * size[:, None])", "np.nansum(error**2 * size[:, None])"))
of_ragged("ragged: mean over the batch missing", "The gradient is summed over sequences where the loss is averaged.",
  r"3(\.0)? times|factor|batch|mean", ("d = {\"W\": 0, \"U\": 0, \"x\": np.zeros_like(x), \"y\": -2 * error / B}", "d = {\"W\": 0, \"U\": 0, \"x\": np.zeros_like(x), \"y\": -2 * error}"),
  ("2 * error[t] / B)", "2 * error[t])"))


def both_ways_loss(x, y, Wf, Uf, Wb, Ub, V):
    """One network reads forwards, one backwards, and a read-out reads both."""
    T, B, _ = x.shape
    f, g, h, k = [], [], np.zeros((B, len(Uf))), np.zeros((B, len(Ub)))
    for t in range(T):
        h = np.tanh(x[t] @ Wf.T + h @ Uf.T)
        k = np.tanh(x[T - 1 - t] @ Wb.T + k @ Ub.T)
        f.append(h)
        g.append(k)
    both = np.concatenate([np.array(f), np.array(g[::-1])], axis=2)
    return 0.5 * np.sum((both @ V.T - y) ** 2)


BOTH_WAYS = drawn(
    {"x": (5, 2, 3), "y": (5, 2, 2), "Wf": (3, 3), "Uf": (3, 3), "Wb": (3, 3), "Ub": (3, 3), "V": (2, 6)}
)


def one_way(x, W, U):
    """States of one network, h_0 first."""
    h = [np.zeros((x.shape[1], len(U)))]
    for t in range(len(x)):
        h.append(np.tanh(x[t] @ W.T + h[t] @ U.T))
    return np.array(h)


def one_way_back(x, h, W, U, dh):
    """Gradients of its weights and inputs from those of its states."""
    dW, dU, dx, carried = np.zeros_like(W), np.zeros_like(U), np.zeros_like(x), np.zeros_like(h[0])
    for t in reversed(range(len(x))):
        da = (dh[t] + carried) * (1 - h[t + 1] ** 2)
        dW += da.T @ x[t]
        dU += da.T @ h[t]
        dx[t] = da @ W
        carried = da @ U
    return dW, dU, dx


def both_ways(x, y, Wf, Uf, Wb, Ub, V):
    f, g = one_way(x, Wf, Uf), one_way(x[::-1], Wb, Ub)
    both = np.concatenate([f[1:], g[1:][::-1]], axis=2)
    error = both @ V.T - y
    dV = np.einsum("tbq,tbn->qn", error, both)
    df, dg = np.split(error @ V, 2, axis=2)
    dWf, dUf, dxf = one_way_back(x, f, Wf, Uf, df)
    dWb, dUb, dxb = one_way_back(x[::-1], g, Wb, Ub, dg[::-1])
    grads = {"Wf": dWf, "Uf": dUf, "Wb": dWb, "Ub": dUb, "V": dV, "x": dxf + dxb[::-1], "y": -error}
    return 0.5 * np.sum(error**2), grads


of_both_ways = partial(bug, both_ways, both_ways_loss, inputs=BOTH_WAYS)
of_both_ways("both ways: states not turned back", "The backward network's states are read in its own order.",
  r"loss", ("g[1:][::-1]], axis=2)", "g[1:]], axis=2)"), ("dg[::-1])", "dg)"), source="keras-team/keras#1001")
of_both_ways("both ways: same input for both", "The backward network reads the sequence forwards.",
  r"loss", ("one_way(x[::-1], Wb, Ub)", "one_way(x, Wb, Ub)"), ("one_way_back(x[::-1], g", "one_way_back(x, g"),
  ("dxb[::-1]", "dxb"), source="stanfordmlgroup/nlc#8")
of_both_ways("both ways: adjoints not turned back", "The backward network gets its adjoints in the order of the read-out.",
  None, ("dg[::-1])", "dg)"))
of_both_ways("both ways: input's adjoint not turned back", "One half of the input's gradient is added in reverse.",
  r"dL/dx\b", ("dxb[::-1]", "dxb"))
of_both_ways("both ways: input's adjoint overwritten", "The second direction writes over the first one's part.",
  r"dL/dx\b", ("dxf + dxb[::-1]", "dxb[::-1]"), source="apache/mxnet#18203")
of_both_ways("both ways: one layer's adjoint is overwritten before the other reads it", "A shared buffer holds the input's gradient already.",
  None, ("dg[::-1])", "(dg + dxf)[::-1])"), source="apache/mxnet#18203")
of_both_ways("both ways: weights exchanged", "The two directions' recurrent gradients change places.",
  r"exchang|swap|places|each other|that of U[fb]", ('"Uf": dUf, "Wb": dWb, "Ub": dUb', '"Uf": dUb, "Wb": dWb, "Ub": dUf'))


def two_layers_loss(x, y, W, U, b, A, C, a, V):
    h, k, total = np.zeros((x.shape[1], len(U))), np.zeros((x.shape[1], len(C))), 0.0
    for t in range(len(x)):
        h = np.tanh(x[t] @ W.T + h @ U.T + b)
        k = np.tanh(h @ A.T + k @ C.T + a)
        total = total + 0.5 * np.sum((k @ V.T - y[t]) ** 2)
    return total


TWO_LAYERS = drawn(
    {"x": (5, 2, 3), "y": (5, 2, 2), "W": (3, 3), "U": (3, 3), "b": (3,), "A": (3, 3), "C": (3, 3), "a": (3,), "V": (2, 3)}
)


def two_layers(x, y, W, U, b, A, C, a, V):
    T = len(x)
    h, k = [np.zeros((x.shape[1], len(U)))], [np.zeros((x.shape[1], len(C)))]
    for t in range(T):
        h.append(np.tanh(x[t] @ W.T + h[t] @ U.T + b))
        k.append(np.tanh(h[t + 1] @ A.T + k[t] @ C.T + a))
    error = np.array(k[1:]) @ V.T - y
    d = {name: 0 for name in ("W", "U", "b", "A", "C", "a", "V")}
    dx, dh, dk = np.zeros_like(x), np.zeros_like(h[0]), np.zeros_like(k[0])
    for t in reversed(range(T)):
        d["V"] += error[t].T @ k[t + 1]
        dc = (error[t] @ V + dk) * (1 - k[t + 1] ** 2)
        d["A"] += dc.T @ h[t + 1]
        d["C"] += dc.T @ k[t]
        d["a"] += dc.sum(axis=0)
        dk = dc @ C
        da = (dc @ A + dh) * (1 - h[t + 1] ** 2)
        d["W"] += da.T @ x[t]
        d["U"] += da.T @ h[t]
        d["b"] += da.sum(axis=0)
        dx[t] = da @ W
        dh = da @ U
    return 0.5 * np.sum(error**2), d | {"x": dx, "y": -error}


of_two_layers = partial(bug, two_layers, two_layers_loss, inputs=TWO_LAYERS)
of_two_layers("two layers: lower one without its own past", "From above replaces from later: the lower layer's own recursion is cut.",
  None, ("(dc @ A + dh)", "(dc @ A)"))
of_two_layers("two layers: input of the first for the second", "The second layer's weights are paired with the network's input.",
  r"dL/dA\b", ('d["A"] += dc.T @ h[t + 1]', 'd["A"] += dc.T @ x[t]'), source="apache/mxnet#18203")
of_two_layers("two layers: upper bias is zero", "A wrong offset leaves the second bias's gradient at zero.",
  r"dL/da\b.*zero", ('d["a"] += dc.sum(axis=0)', 'd["a"] += 0 * dc.sum(axis=0)'), source="apache/mxnet#17872")
of_two_layers("two layers: lower state of the step before", "The second layer's weights are paired with the first's previous state.",
  r"dL/dA\b", ('d["A"] += dc.T @ h[t + 1]', 'd["A"] += dc.T @ h[t]'))
of_two_layers("two layers: one carried adjoint", "Both layers write into one buffer.",
  None, ("(error[t] @ V + dk)", "(error[t] @ V + dh)"))
of_two_layers("two layers: lower layer frozen", "The upper layer's input is detached.",
  r"zero", ("(dc @ A + dh)", "dh"))


def dropped_loss(x, y, W, U, V, seed):
    """Half of the state is dropped at each step, on its way into the next."""
    keep = np.random.default_rng(seed).integers(0, 2, size=(len(x), x.shape[1], len(U)))
    h, total = np.zeros((x.shape[1], len(U))), 0.0
    for t in range(len(x)):
        h = np.tanh(x[t] @ W.T + (2 * keep[t] * h) @ U.T)
        total = total + 0.5 * np.sum((h @ V.T - y[t]) ** 2)
    return total


DROPPED = drawn(
    {"x": (5, 2, 2), "y": (5, 2, 2), "W": (4, 2), "U": (4, 4), "V": (2, 4)}, lambda rng, _: {"seed": rng.integers(99, size=1)}
)


def dropped(x, y, W, U, V, seed):
    T, rng = len(x), np.random.default_rng(seed)
    keep = rng.integers(0, 2, size=(T, x.shape[1], len(U)))
    h = [np.zeros((x.shape[1], len(U)))]
    for t in range(T):
        h.append(np.tanh(x[t] @ W.T + (2 * keep[t] * h[t]) @ U.T))
    error = np.array(h[1:]) @ V.T - y
    d = {"W": 0, "U": 0, "V": np.einsum("tbq,tbn->qn", error, np.array(h[1:])), "x": np.zeros_like(x), "y": -error}
    dh = np.zeros_like(h[0])
    for t in reversed(range(T)):
        da = (error[t] @ V + dh) * (1 - h[t + 1] ** 2)
        d["W"] += da.T @ x[t]
        d["U"] += da.T @ (2 * keep[t] * h[t])
        d["x"][t] = da @ W
        dh = 2 * keep[t] * (da @ U)
    return 0.5 * np.sum(error**2), d


of_dropped = partial(bug, dropped, dropped_loss, inputs=DROPPED)
of_dropped("dropout: drawn again on the way back", "The recomputation for the backward pass draws other masks.",
  None, ("    dh = np.zeros_like(h[0])", "    keep = rng.integers(0, 2, size=keep.shape)\n    dh = np.zeros_like(h[0])"), source="openai/guided-diffusion#167")
of_dropped("dropout: not scaled on the way back", "The factor 1/p is in the forward pass only.",
  None, ("dh = 2 * keep[t] * (da @ U)", "dh = keep[t] * (da @ U)"), ("da.T @ (2 * keep[t] * h[t])", "da.T @ (keep[t] * h[t])"))
of_dropped("dropout: mask missing from the adjoint", "What was dropped gets an adjoint all the same.",
  None, ("dh = 2 * keep[t] * (da @ U)", "dh = da @ U"))
of_dropped("dropout: mask missing from the weights' gradient", "The recurrent weights are paired with the whole state.",
  r"dL/dU\b", ("da.T @ (2 * keep[t] * h[t])", "da.T @ h[t]"))
of_dropped("dropout: one mask for all steps", "The mask of the first step is used throughout.",
  r"loss", ("    h = [np.zeros((x.shape[1], len(U)))]", "    keep[:] = keep[0]\n    h = [np.zeros((x.shape[1], len(U)))]"))


def tied_loss(tokens, E, U, b):
    """A language model whose embedding is its read-out too."""
    h, total = np.zeros((tokens.shape[1], len(U))), 0.0
    for t in range(len(tokens) - 1):
        h = np.tanh(E[tokens[t]] + h @ U.T + b)
        scores = h @ E.T
        top = scores.real.max(axis=1, keepdims=True)
        logs = top[:, 0] + np.log(np.sum(np.exp(scores - top), axis=1))
        total = total + np.sum(logs - scores[np.arange(len(h)), tokens[t + 1]])
    return total


TIED = drawn({"E": (4, 3), "U": (3, 3), "b": (3,)}, lambda rng, _: {"tokens": rng.integers(4, size=(5, 3))})


def tied(tokens, E, U, b):
    T, B = len(tokens) - 1, tokens.shape[1]
    rows, h, p, loss = np.arange(B), [np.zeros((B, len(U)))], [], 0.0
    for t in range(T):
        h.append(np.tanh(E[tokens[t]] + h[t] @ U.T + b))
        scores = h[t + 1] @ E.T
        scores -= scores.max(axis=1, keepdims=True)
        p.append(np.exp(scores))
        p[t] /= p[t].sum(axis=1, keepdims=True)
        loss += np.sum(np.log(np.exp(scores).sum(axis=1)) - scores[rows, tokens[t + 1]])
    dE, dU, db, dh = np.zeros_like(E), np.zeros_like(U), np.zeros_like(b), np.zeros_like(h[0])
    for t in reversed(range(T)):
        do = p[t].copy()
        do[rows, tokens[t + 1]] -= 1
        dE += do.T @ h[t + 1]
        da = (do @ E + dh) * (1 - h[t + 1] ** 2)
        np.add.at(dE, tokens[t], da)
        dU += da.T @ h[t]
        db += da.sum(axis=0)
        dh = da @ U
    return loss, {"E": dE, "U": dU, "b": db}


of_tied = partial(bug, tied, tied_loss, inputs=TIED)
of_tied("tied: rows of repeated tokens overwritten", "Indexed += keeps one of the rows where a token is twice in a batch.",
  r"dL/dE\b", ("np.add.at(dE, tokens[t], da)", "dE[tokens[t]] += da"), source="apache/mxnet#9172")
of_tied("tied: read-out only", "The weights' gradient as an embedding is lost.", r"dL/dE\b", ("        np.add.at(dE, tokens[t], da)\n", ""), source="paiml/entrenar#314")
of_tied("tied: embedding only", "The weights' gradient as a read-out is lost.", r"dL/dE\b", ("        dE += do.T @ h[t + 1]\n", ""))
of_tied("tied: one overwrites the other", "The embedding's part is assigned where it should be added.",
  r"dL/dE\b", ("np.add.at(dE, tokens[t], da)", "dE[tokens[t]] = da"))


def leaky_loss(x, y, W, U, b, tau):
    """Neurons with a time constant each, by steps of Euler's method."""
    h, total = np.zeros((x.shape[1], len(U))), 0.0
    for t in range(len(x)):
        h = h + 0.5 / tau * (np.tanh(x[t] @ W.T + h @ U.T + b) - h)
        total = total + 0.5 * np.sum((h - y[t]) ** 2)
    return total


LEAKY = drawn(
    {"x": (6, 2, 2), "y": (6, 2, 3), "W": (3, 2), "U": (3, 3), "b": (3,)}, lambda rng, _: {"tau": rng.uniform(0.8, 3, size=3)}
)


def leaky(x, y, W, U, b, tau):
    T, h, g, alpha = len(x), [np.zeros((x.shape[1], len(U)))], [], 0.5 / tau
    for t in range(T):
        g.append(np.tanh(x[t] @ W.T + h[t] @ U.T + b))
        h.append((1 - alpha) * h[t] + alpha * g[t])
    error = np.array(h[1:]) - y
    d = {"W": 0, "U": 0, "b": 0, "tau": 0, "x": np.zeros_like(x), "y": -error}
    dh = np.zeros_like(h[0])
    for t in reversed(range(T)):
        dh = dh + error[t]
        da = alpha * dh * (1 - g[t] ** 2)
        d["W"] += da.T @ x[t]
        d["U"] += da.T @ h[t]
        d["b"] += da.sum(axis=0)
        d["tau"] -= np.sum(dh * (g[t] - h[t]), axis=0) * 0.5 / tau**2
        d["x"][t] = da @ W
        dh = (1 - alpha) * dh + da @ U
    return 0.5 * np.sum(error**2), d


of_leaky = partial(bug, leaky, leaky_loss, inputs=LEAKY)
of_leaky("leaky: leak missing from the adjoint", "The state's direct path to the next step is forgotten.",
  None, ("dh = (1 - alpha) * dh + da @ U", "dh = da @ U"))
of_leaky("leaky: leak not reduced", "The direct path has the factor 1 in place of 1 - alpha.",
  None, ("dh = (1 - alpha) * dh + da @ U", "dh = dh + da @ U"))
of_leaky("leaky: rate for its time constant", "The gradient by alpha is returned for that by tau.",
  r"dL/dtau\b", ("* 0.5 / tau**2", "* -1"))
of_leaky("leaky: time constant's gradient without the state", "Only the drive depends on alpha in the backward pass.",
  r"dL/dtau\b", ("np.sum(dh * (g[t] - h[t]), axis=0)", "np.sum(dh * g[t], axis=0)"))
of_leaky("leaky: slope at the leaky state", "The state itself is taken for the activated value.",
  None, ("(1 - g[t] ** 2)", "(1 - h[t + 1] ** 2)"))
of_leaky("leaky: a bracket misplaced", "The leak is not divided by the time constant, in both passes.",
  r"loss", ("(1 - alpha) * h[t] + alpha * g[t]", "0.5 * h[t] + alpha * g[t]"), ("(1 - alpha) * dh", "0.5 * dh"), ("(g[t] - h[t])", "g[t]"),
  source="NeuromatchAcademy/course-content#478")


def cell_loss(x, Wf, Wg, Uf, Ug, p, q):
    """The last state and the last cell are read, and nothing before them."""
    h, c = np.zeros((x.shape[1], len(Uf))), np.zeros((x.shape[1], len(Uf)))
    for t in range(len(x)):
        f, g = sigmoid(x[t] @ Wf.T + h @ Uf.T), np.tanh(x[t] @ Wg.T + h @ Ug.T)
        c = f * c + (1 - f) * g
        h = np.tanh(c)
    return np.sum(h**2 @ p) + np.sum(c**2 @ q)


CELL = drawn({"x": (5, 2, 2), "Wf": (3, 2), "Wg": (3, 2), "Uf": (3, 3), "Ug": (3, 3), "p": (3,), "q": (3,)})


def cell(x, Wf, Wg, Uf, Ug, p, q):
    T = len(x)
    h, c, gates = [np.zeros((x.shape[1], len(Uf)))], [np.zeros((x.shape[1], len(Uf)))], []
    for t in range(T):
        f, g = sigmoid(x[t] @ Wf.T + h[t] @ Uf.T), np.tanh(x[t] @ Wg.T + h[t] @ Ug.T)
        c.append(f * c[t] + (1 - f) * g)
        h.append(np.tanh(c[t + 1]))
        gates.append((f, g))
    d = {"p": np.sum(h[T] ** 2, axis=0), "q": np.sum(c[T] ** 2, axis=0), "x": np.zeros_like(x)}
    d |= {"Wf": 0, "Wg": 0, "Uf": 0, "Ug": 0}
    dh, dc = 2 * h[T] * p, 2 * c[T] * q
    for t in reversed(range(T)):
        f, g = gates[t]
        dc = dc + dh * (1 - h[t + 1] ** 2)
        af, ag = dc * (c[t] - g) * f * (1 - f), dc * (1 - f) * (1 - g**2)
        d["Wf"] += af.T @ x[t]
        d["Wg"] += ag.T @ x[t]
        d["Uf"] += af.T @ h[t]
        d["Ug"] += ag.T @ h[t]
        d["x"][t] = af @ Wf + ag @ Wg
        dh, dc = af @ Uf + ag @ Ug, dc * f
    return np.sum(h[T] ** 2 @ p) + np.sum(c[T] ** 2 @ q), d


of_cell = partial(bug, cell, cell_loss, inputs=CELL)
of_cell("last cell: its adjoint ignored", "The adjoint of the last cell that comes from outside is not taken up.",
  None, ("dh, dc = 2 * h[T] * p, 2 * c[T] * q", "dh, dc = 2 * h[T] * p, 0 * c[T]"), source="deeplearning4j/deeplearning4j#8838")
of_cell("last cell: loss at every step", "A loss of the last state is differentiated as one of all states.",
  None, ("dc = dc + dh * (1", "dc = dc + (dh + (t < T - 1) * 2 * h[t + 1] * p) * (1"))
of_cell("last cell: carry gate not coupled", "1 - f is taken for an input gate without a gradient of its own.",
  None, ("dc * (c[t] - g) * f", "dc * c[t] * f"))
of_cell("last cell: adjoint starts one step early", "The last step's adjoint is given to the step before it.",
  None, ("for t in reversed(range(T)):", "for t in reversed(range(T - 1)):"))
of_cell("last cell: adjoint of the cell doubled", "The cell's adjoint is added to itself.",
  None, ("dc = dc + dh * (1 - h[t + 1] ** 2)", "dc = dc + dc + dh * (1 - h[t + 1] ** 2)"), source="javaidnabi31/RNN-from-scratch#2")


def spiking_loss(x, W, V, beta, y):
    """A membrane that leaks and is lowered by its own soft spike of the step before."""
    u, s, total = np.zeros((x.shape[1], len(V))), np.zeros((x.shape[1], len(V))), 0.0
    for t in range(len(x)):
        u = beta * u + x[t] @ W.T + s @ V.T - s
        s = sigmoid(4 * (u - 1))
        total = total + 0.5 * np.sum((s - y[t]) ** 2)
    return total


SPIKING = drawn({"x": (6, 2, 2), "W": (3, 2), "V": (3, 3), "beta": (3,), "y": (6, 2, 3)})


def spiking(x, W, V, beta, y):
    T = len(x)
    u, s = [np.zeros((x.shape[1], len(V)))], [np.zeros((x.shape[1], len(V)))]
    for t in range(T):
        u.append(beta * u[t] + x[t] @ W.T + s[t] @ V.T - s[t])
        s.append(sigmoid(4 * (u[t + 1] - 1)))
    error = np.array(s[1:]) - y
    d = {"W": 0, "V": 0, "beta": 0, "x": np.zeros_like(x), "y": -error}
    du, ds = np.zeros_like(u[0]), np.zeros_like(s[0])
    for t in reversed(range(T)):
        du = du + (error[t] + ds) * 4 * s[t + 1] * (1 - s[t + 1])
        d["W"] += du.T @ x[t]
        d["V"] += du.T @ s[t]
        d["beta"] += np.sum(du * u[t], axis=0)
        d["x"][t] = du @ W
        ds = du @ V - du
        du = beta * du
    return 0.5 * np.sum(error**2), d


of_spiking = partial(bug, spiking, spiking_loss, inputs=SPIKING)
of_spiking("spiking: reset detached", "The path through the reset is cut.", None, ("ds = du @ V - du", "ds = du @ V"), source="jeshraghian/snntorch#156")
of_spiking("spiking: steepness left out of the slope", "The factor in the soft spike is not differentiated.",
  None, ("(error[t] + ds) * 4 * s", "(error[t] + ds) * s"))
of_spiking("spiking: surrogate slope", "Another function's derivative is used for the spike's.",
  None, ("4 * s[t + 1] * (1 - s[t + 1])", "1 / (1 + np.abs(4 * (u[t + 1] - 1))) ** 2"))
of_spiking("spiking: leak missing from the adjoint", "The membrane's own path to the next step is forgotten.",
  None, ("        du = beta * du\n", "        du = 0 * du\n"))
of_spiking("spiking: reset scaled by the leak", "The reset is multiplied by the membrane's decay, in both passes.",
  r"loss", ("@ V.T - s[t])\n        s", "@ V.T - beta * s[t])\n        s"), ("ds = du @ V - du", "ds = du @ V - beta * du"), ("du * u[t], axis=0", "du * (u[t] - s[t]), axis=0"),
  source="jeshraghian/snntorch#364")


def normed_loss(x, y, W, U, gain):
    """Each step's preactivation is normalised over its units."""
    h, total = np.zeros((x.shape[1], len(U))), 0.0
    for t in range(len(x)):
        a = x[t] @ W.T + h @ U.T
        a = a - np.mean(a, axis=1, keepdims=True)
        h = np.tanh(gain * a / np.sqrt(np.mean(a**2, axis=1, keepdims=True) + 1e-2))
        total = total + 0.5 * np.sum((h - y[t]) ** 2)
    return total


NORMED = drawn({"x": (4, 2, 2), "y": (4, 2, 4), "W": (4, 2), "U": (4, 4), "gain": (4,)})


def normed(x, y, W, U, gain):
    T, h, kept = len(x), [np.zeros((x.shape[1], len(U)))], []
    for t in range(T):
        a = x[t] @ W.T + h[t] @ U.T
        a -= a.mean(axis=1, keepdims=True)
        spread = np.sqrt(np.mean(a**2, axis=1, keepdims=True) + 1e-2)
        kept.append((a / spread, spread))
        h.append(np.tanh(gain * a / spread))
    error = np.array(h[1:]) - y
    d = {"W": 0, "U": 0, "gain": 0, "x": np.zeros_like(x), "y": -error}
    dh = np.zeros_like(h[0])
    for t in reversed(range(T)):
        z, spread = kept[t]
        dn = (dh + error[t]) * (1 - h[t + 1] ** 2)
        d["gain"] += np.sum(dn * z, axis=0)
        dz = dn * gain
        da = (dz - z * np.mean(dz * z, axis=1, keepdims=True)) / spread
        da -= da.mean(axis=1, keepdims=True)
        d["W"] += da.T @ x[t]
        d["U"] += da.T @ h[t]
        d["x"][t] = da @ W
        dh = da @ U
    return 0.5 * np.sum(error**2), d


of_normed = partial(bug, normed, normed_loss, inputs=NORMED)
of_normed("normalised: statistics taken for constants", "Mean and spread are not differentiated.",
  None, ("da = (dz - z * np.mean(dz * z, axis=1, keepdims=True)) / spread", "da = dz / spread"), ("        da -= da.mean(axis=1, keepdims=True)\n", ""))
of_normed("normalised: mean not differentiated", "The spread is differentiated and the mean is not.",
  None, ("        da -= da.mean(axis=1, keepdims=True)\n", ""))
of_normed("normalised: gain's gradient of the raw value", "The gain is paired with the preactivation before it is normalised.",
  r"dL/dgain\b", ("np.sum(dn * z, axis=0)", "np.sum(dn * z * spread, axis=0)"))
of_normed("normalised: over the batch", "Mean and spread are those of each unit over the sequences.",
  r"loss", ("a -= a.mean(axis=1, keepdims=True)\n        spread = np.sqrt(np.mean(a**2, axis=1, keepdims=True) + 1e-2)", "a -= a.mean(axis=0)\n        spread = np.sqrt(np.mean(a**2, axis=0) + 1e-2)"),
  ("np.mean(dz * z, axis=1, keepdims=True)", "np.mean(dz * z, axis=0)"), ("da -= da.mean(axis=1, keepdims=True)", "da -= da.mean(axis=0)"),
  source="GokuMohandas/fast-weights#9")


# ---- truncated gradients ----


def chunked(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
    """The state is carried on and its adjoint is not, every four steps."""
    T, K = len(x), 4
    h = [h0]
    for t in range(T):
        h.append(np.tanh(x[t] @ W_hx.T + h[t] @ W_hh.T + b_h))
    error = np.array(h[1:]) @ W_qh.T + b_q - y
    do = weights[:, :, None] * error
    d = {"W_hx": np.zeros_like(W_hx), "W_hh": np.zeros_like(W_hh), "b_h": np.zeros_like(b_h)}
    d |= {"W_qh": np.zeros_like(W_qh), "b_q": np.zeros_like(b_q), "h0": np.zeros_like(h0)}
    for start in range(0, T, K):
        dh = np.zeros_like(h0)
        for t in reversed(range(start, min(start + K, T))):
            d["W_qh"] += do[t].T @ h[t + 1]
            d["b_q"] += do[t].sum(axis=0)
            da = (do[t] @ W_qh + dh) * (1 - h[t + 1] ** 2)
            d["W_hx"] += da.T @ x[t]
            d["W_hh"] += da.T @ h[t]
            d["b_h"] += da.sum(axis=0)
            dh = da @ W_hh
        if start == 0:
            d["h0"] = dh
    return 0.5 * np.sum(do * error), d


of_chunked = partial(bug, chunked, bv.cells.elman, check="truncated", estimator=bv.Chunks(4, 4))
of_chunked("chunks: five steps for four", "Chunks overlap by one step, whose loss counts twice.",
  r"twice|overlap|k2=5|2 times|5 steps", ("min(start + K, T)", "min(start + K + 1, T)"))
of_chunked("chunks: last one dropped", "A last chunk that is not full is left out.",
  r"last chunk", ("range(0, T, K):", "range(0, T - K + 1, K):"))
of_chunked("chunks: gradients zeroed between them", "Zeroing is inside the loop, so that the last chunk's gradients are left.",
  r"last chunk|only", ("        dh = np.zeros_like(h0)\n", "        dh = np.zeros_like(h0)\n        for g in d.values():\n            g[...] = 0\n"),
  source="OpenNMT/OpenNMT-py#891")
of_chunked("chunks: nothing detached", "The adjoint goes on into the chunk before.",
  r"Full|nothing is truncated|not truncated", ("for start in range(0, T, K):\n        dh = np.zeros_like(h0)\n", "dh = np.zeros_like(h0)\n    for start in reversed(range(0, T, K)):\n"))
of_chunked("chunks: detached at every step", "The state is detached inside the loop over time.",
  r"Window\(tau=1\)|every step|k1=1|Chunks\(k1=1", ("dh = da @ W_hh", "dh = 0 * da"))
of_chunked("chunks: counted from the end", "Boundaries are laid from the last step backwards.",
  r"from the end", ("for start in range(0, T, K):", "for start in sorted(range(T - K, -K, -K)):"), ("range(start, min", "range(max(start, 0), min"),
  ("if start == 0:", "if start <= 0:"))
of_chunked("chunks: detached one step late", "The first step of a chunk still sends its adjoint to the one before; the second does not.",
  r"shifted|late|boundar|one step", ("for start in range(0, T, K):", "for start in [0, *range(1, T, K)]:"), ("min(start + K, T)", "(1 if start == 0 else min(start + K, T))"))
of_chunked("chunks: mean over each", "Each chunk's loss is a mean over its own steps.",
  r"mean over each chunk|over each chunk|T/4|mean", ("error = np.array(h[1:]) @ W_qh.T + b_q - y\n    do = weights[:, :, None] * error", "error = np.array(h[1:]) @ W_qh.T + b_q - y\n    do = weights[:, :, None] * error * T / K"),
  ("return 0.5 * np.sum(do * error), d", "return 0.5 * np.sum(do * error) * K / T, d"))
of_chunked("chunks: last loss of each", "Each chunk is run back from the loss of its last step.",
  r"last step of each chunk|last (loss|step)|only", ("    for start in", "    do = do * np.array([t % K == K - 1 or t == T - 1 for t in range(T)])[:, None, None]\n    for start in"),
  ("return 0.5 * np.sum(do * error), d", "return 0.5 * np.sum(weights[:, :, None] * error**2), d"))
of_chunked("chunks: state reset", "Each chunk begins with a state of zero.",
  r"reset|zero", ("h[t] @ W_hh.T", "(h[t] * (t % K > 0 or t == 0)) @ W_hh.T"), ("da.T @ h[t]\n", "da.T @ (h[t] * (t % K > 0 or t == 0))\n"))
of_chunked("chunks: adjoint summed into h0", "Every chunk's first adjoint is added to the initial state's.",
  r"h0", ("        if start == 0:\n            d[\"h0\"] = dh", "        d[\"h0\"] = d[\"h0\"] + dh"))
of_chunked("chunks: h0 of the last one", "The initial state gets the adjoint of the last chunk's first step.",
  r"h0", ("        if start == 0:\n            d[\"h0\"] = dh", "        d[\"h0\"] = dh"))
of_chunked("chunks: batch mean once more", "The gradient is averaged over chunks.",
  r"factor|times|number of chunks|mean|1/\d|weights? (of )?the terms", ("    return 0.5", "    d = {name: g / -(-T // K) for name, g in d.items()}\n    return 0.5"))
of_chunked("chunks: each clipped before it is added", "Each chunk's gradients are clipped when they are added, not their sum.",
  r"clip", ("    for start in range(0, T, K):\n", "    for start in range(0, T, K):\n        before = {name: g.copy() for name, g in d.items()}\n"),
  ("        if start == 0:\n", "        for name, g in d.items():\n            step = g - before[name]\n            g[...] = before[name] + step * min(1.0, 0.1 / max(np.sqrt(np.sum(step**2)), 1e-300))\n        if start == 0:\n"),
  source="huggingface/transformers#1563")
bug(chunked, bv.cells.elman, "chunks of four asked for, eight made", "The truncation length is taken in other units.",
    r"k1=8|Chunks\(k1=8, k2=8\)", ("T, K = len(x), 4", "T, K = len(x), 8"), check="truncated", estimator=bv.Chunks(4, 4))
bug(chunked, bv.cells.elman, "chunks sold as a window", "Detaching every four steps is said to give every loss four steps.",
    r"Chunks\(k1=4, k2=4\)", check="truncated", estimator=bv.Window(4))
bug(chunked, bv.cells.elman, "chunks sold as the gradient", "The gradient is truncated where the whole one is asked for.",
    r"Chunks\(k1=4, k2=4\)|truncat")
bug(lstm, bv.cells.lstm, "chunks: the cell not detached", "Of the two states only the hidden one is detached.",
    r"\bc\b|cell", ("dh_next = da @ W_h", "dh_next = (da @ W_h) * (t % 4 > 0 or t == 0)"), check="truncated", estimator=bv.Chunks(4, 4))
bug(lstm, bv.cells.lstm, "chunks: the hidden state not detached", "Of the two states only the cell is detached.",
    r"\bh\b|hidden", ("dc_next = dc * f", "dc_next = dc * f * (t % 4 > 0 or t == 0)"), check="truncated", estimator=bv.Chunks(4, 4))


def windowed(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
    """Each loss runs back over four steps on its own."""
    T = len(x)
    h = [h0]
    for t in range(T):
        h.append(np.tanh(x[t] @ W_hx.T + h[t] @ W_hh.T + b_h))
    error = np.array(h[1:]) @ W_qh.T + b_q - y
    do = weights[:, :, None] * error
    d = {"W_hx": np.zeros_like(W_hx), "W_hh": np.zeros_like(W_hh), "b_h": np.zeros_like(b_h)}
    d |= {"W_qh": np.zeros_like(W_qh), "b_q": np.zeros_like(b_q), "h0": np.zeros_like(h0)}
    for t in range(T):
        d["W_qh"] += do[t].T @ h[t + 1]
        d["b_q"] += do[t].sum(axis=0)
        da = (do[t] @ W_qh) * (1 - h[t + 1] ** 2)
        for s in range(t, max(t - 4, -1), -1):
            d["W_hx"] += da.T @ x[s]
            d["W_hh"] += da.T @ h[s]
            d["b_h"] += da.sum(axis=0)
            dh = da @ W_hh
            if s == 0:
                d["h0"] += dh
            da = dh * (1 - h[s] ** 2)
    return 0.5 * np.sum(do * error), d


def terms(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
    """Each loss runs back to each step by one product of Jacobians."""
    T, B, _ = x.shape
    h = [h0]
    for t in range(T):
        h.append(np.tanh(x[t] @ W_hx.T + h[t] @ W_hh.T + b_h))
    error = np.array(h[1:]) @ W_qh.T + b_q - y
    do = weights[:, :, None] * error
    d = {"W_hx": np.zeros_like(W_hx), "W_hh": np.zeros_like(W_hh), "b_h": np.zeros_like(b_h)}
    d |= {"W_qh": np.einsum("tbq,tbn->qn", do, np.array(h[1:])), "b_q": do.sum(axis=(0, 1))}
    for b in range(B):
        J = [(1 - h[t + 1][b] ** 2)[:, None] * W_hh for t in range(T)]
        for t in range(T):
            product = np.eye(len(W_hh))
            for s in range(t, -1, -1):
                da = do[t, b] @ W_qh @ product * (1 - h[s + 1][b] ** 2)
                d["W_hx"] += np.outer(da, x[s, b])
                d["W_hh"] += np.outer(da, h[s][b])
                d["b_h"] += da
                product = product @ J[s]
    return 0.5 * np.sum(do * error), d


bug(terms, bv.cells.elman, "Jacobians multiplied in the order of time", "The product of the steps' Jacobians runs the wrong way.",
    r"order|Jacobian", ("product = product @ J[s]", "product = J[s] @ product"), source="elixir-nx/axon#644")

of_windowed = partial(bug, windowed, bv.cells.elman, check="truncated", estimator=bv.Window(4))
of_windowed("window: one step too many", "The step itself is not counted among the four.",
  r"Window\(tau=5\)", ("max(t - 4, -1)", "max(t - 5, -1)"))
of_windowed("window: one step too few", "The bound is excluded twice.", r"Window\(tau=3\)", ("max(t - 4, -1)", "max(t - 3, -1)"))
of_windowed("window: ends at the second step", "The loop's bound excludes the first step.",
  r"first step|step 1\b|h0", ("max(t - 4, -1)", "max(t - 4, 0)"))
of_windowed("window: final loss only", "Only the last state is run back over the window.",
  r"only|last", ("    for t in range(T):\n        d[", "    for t in [T - 1]:\n        d["), source="rsokl/MyGrad#4")
of_windowed("window: earlier steps without the input", "The input weights see the step itself, not those before.",
  r"W_hx.*(Window\(tau=1\)|lag 0|only)", ('d["W_hx"] += da.T @ x[s]', 'd["W_hx"] += da.T @ x[s] * (s == t)'))
of_windowed("window: inputs of the step of the loss", "Earlier adjoints are paired with the input at the loss.",
  r"W_hx", ('da.T @ x[s]', 'da.T @ x[t]'))
of_windowed("window: slope of the step of the loss", "All slopes are those of the step at which the loss is.",
  None, ("(1 - h[s] ** 2)", "(1 - h[t + 1] ** 2)"))
of_windowed("window: damped by lag", "A decay of one half for each step back.",
  r"0\.5|decay|lag", ("dh = da @ W_hh", "dh = 0.5 * (da @ W_hh)"))
of_windowed("window: initial state one loss short", "The last of the losses that reach h0 is not counted there.",
  r"h0", ('                d["h0"] += dh', '                d["h0"] += dh * (t < 3)'))
of_windowed("window sold as the gradient", "A bound on the steps back is left in the code.",
  r"Window\(tau=4\)")
BUGS[-1] = Bug(**{**vars(BUGS[-1]), "check": "gradient", "options": {}})


# ---- random gradients ----


def gated(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights, xi):
    """What step t sends back is multiplied by its gate, 0 or 1/π."""
    T = len(x)
    h = [h0]
    for t in range(T):
        h.append(np.tanh(x[t] @ W_hx.T + h[t] @ W_hh.T + b_h))
    error = np.array(h[1:]) @ W_qh.T + b_q - y
    do = weights[:, :, None] * error
    d = {"W_hx": 0, "W_hh": 0, "b_h": 0, "W_qh": np.einsum("tbq,tbn->qn", do, np.array(h[1:])), "b_q": do.sum(axis=(0, 1))}
    dh = np.zeros_like(h0)
    for t in reversed(range(T)):
        da = (do[t] @ W_qh + dh) * (1 - h[t + 1] ** 2)
        d["W_hx"] += da.T @ x[t]
        d["W_hh"] += da.T @ h[t]
        d["b_h"] += da.sum(axis=0)
        dh = xi[t] * (da @ W_hh)
    return 0.5 * np.sum(do * error), d | {"h0": dh}


of_gated = partial(bug, gated, bv.cells.elman, check="unbiased")
of_gated("random: 1/π forgotten", "Paths are dropped and those that are kept are not made larger.",
  r"1/π is forgotten|1/π|forgotten", ("dh = xi[t] *", "dh = (xi[t] > 0) *"))
of_gated("random: one gate for all steps", "The first gate is used throughout.", r"one gate|same gate|shared", ("xi[t]", "xi[0]"))
of_gated("random: gate used twice", "Each gate multiplies the adjoint in two places.",
  r"twice|squared|two|ξ²|xi²", ("dh = xi[t] * (da @ W_hh)", "dh = xi[t] * (xi[t] * da @ W_hh)"))
of_gated("random: neighbours share a gate", "Every second gate is used for two steps.",
  r"shar|same gate|neighbour|two steps|pairs|dependent", ("xi[t]", "xi[t // 2 * 2]"))
of_gated("random: gates clamped", "Gates above two are set to two, to keep the variance low.",
  r"clip|clamp|bound|larg|2\b", ("dh = xi[t] *", "dh = min(xi[t], 2.0) *"))
of_gated("random: gates divided by their mean", "The sample mean of the gates is divided by, which makes a ratio of random numbers.",
  r"mean|normal|ratio", ("    dh = np.zeros_like(h0)", "    xi = xi / max(xi.mean(), 1e-3)\n    dh = np.zeros_like(h0)"))
of_gated("random: square root of the gate", "1/√π, as if the gate were applied in both directions.",
  r"√|root|sqrt|power", ("dh = xi[t] *", "dh = np.sqrt(xi[t]) *"))
of_gated("random: stops for good", "After the first closed gate the weight of earlier gates is kept, and later gates are ignored.",
  None, ("dh = xi[t] *", "dh = xi[t:].prod() *"))
of_gated("random: the losses are dropped too", "A closed gate drops the step's own loss, and nothing makes up for it.",
  r"loss|explicit|own|direct", ("(do[t] @ W_qh + dh)", "(do[t] @ W_qh * (xi[t] > 0) + dh)"))
of_gated("random: the gate of the last step forced open", "The newest gate is replaced by the largest of all.",
  None, ("dh = xi[t] *", "dh = (xi[t] if t < T - 1 else xi.max()) *"))
of_gated("random: one minus the gate", "Kept and dropped are exchanged.", r"invert|exchang|upside|closed|1 - ", ("dh = xi[t] *", "dh = (xi[t] == 0) * 2.0 *"))
of_gated("random: recurrent weights' gradient gated again", "The gate of the step after enters the outer product as well.",
  r"W_hh", ('d["W_hh"] += da.T @ h[t]', 'd["W_hh"] += (xi[t + 1] if t < T - 1 else 1.0) * da.T @ h[t]'))


def kept(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights, keep, pi):
    return gated(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights, keep / pi)


of_kept = partial(bug, kept, bv.cells.elman, check="unbiased")
of_kept("random: π of the step before", "Gates are divided by the probability of another step.",
  r"off by one|shift|another step|step before|one step", ("keep / pi", "keep / np.roll(pi, 1)"))
of_kept("random: divided by 1 - π", "The probability of dropping is taken for that of keeping.",
  r"1 ?- ?π|dropping|exchang|complement", ("keep / pi", "keep / (1 - pi)"))
of_kept("random: multiplied by π", "The gate is scaled the wrong way.", r"multipl|π \*|instead of|inverse|π", ("keep / pi", "keep * pi"))
of_kept("random: mean π", "All gates are divided by the mean of the probabilities.",
  r"mean|average|constant|one π", ("keep / pi", "keep / np.mean(pi)"))
of_kept("random: π squared", "The division is made twice.", r"squared|twice|π²", ("keep / pi", "keep / pi**2"))
of_kept("random: reversed schedule", "Probabilities are indexed from the end of the sequence.",
  r"revers|from the end|order", ("keep / pi", "keep / np.asarray(pi)[::-1]"))


def drawing(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights, rng):
    xi = (rng.random(len(x)) < 0.5) / 0.5
    return gated(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights, xi)


def few(rng):
    """Few steps, so that sampling is telling."""
    shapes = {"x": (3, 2, 2), "y": (3, 2, 2), "W_hx": (2, 2), "W_hh": (2, 2), "b_h": (2,), "W_qh": (2, 2), "b_q": (2,), "h0": (2, 2)}
    return {k: rng.normal(size=s) for k, s in shapes.items()} | {"weights": np.full((3, 2), 1 / 6)}


of_drawing = partial(bug, drawing, bv.cells.elman, check="unbiased", through="rng", samples=20_000, inputs=few)
of_drawing("random: a generator with a fixed seed", "The same gates are drawn at every call.",
  r"same|constant|seed|not random|vary|bias", ("rng.random(len(x))", "np.random.default_rng(0).random(len(x))"))
of_drawing("random: one draw for all steps", "A single number decides on all gates.",
  r"one draw|one gate|bias|mean", ("rng.random(len(x))", "rng.random()"), ("/ 0.5\n", "/ 0.5 * np.ones(len(x))\n"))
of_drawing("random: drawn with another probability", "Gates are open with 0.6 and scaled for 0.5.",
  r"bias|mean|times", ("(rng.random(len(x)) < 0.5)", "(rng.random(len(x)) < 0.6)"))


# ---- clipping ----


def clip(grads, threshold):
    if not all(np.all(np.isfinite(g)) for g in grads.values()):
        raise ValueError("a gradient is not finite")
    top = max((np.abs(g).max(initial=0.0) for g in grads.values()), default=0.0) or 1.0
    norm = top * np.sqrt(sum(np.sum((g / top) ** 2) for g in grads.values()))
    scale = threshold / norm if norm > threshold else 1.0
    return {k: (g * scale).astype(g.dtype) for k, g in grads.items()}


of_clip = partial(bug, clip, 1.0, check="clip", convention="exact")
of_clip("clip: each array by its own norm", "The norm of each parameter is taken in place of one over all.",
  r"per.parameter|each (array|parameter)|its own norm", ("    return {", "    norms = {k: np.sqrt(np.sum(g**2)) for k, g in grads.items()}\n    return {"), ("(g * scale)", "(g * min(1.0, threshold / max(norms[k], 1e-300)))"),
  source="huggingface/transformers#581")
of_clip("clip: each element", "Elements are clamped, which changes the direction.",
  r"element", ("(g * scale)", "np.clip(g, -threshold, threshold)"))
of_clip("clip: always rescaled", "Gradients below the threshold are made larger.",
  r"(always|below|small|normal|rescale)", ("threshold / norm if norm > threshold else 1.0", "threshold / norm if norm > 0 else 1.0"))
of_clip("clip: a millionth added", "The division is by the norm and 1e-6, everywhere.",
  r"1e-0?6|torch|margin|added to the norm", ("scale = threshold / norm if norm > threshold else 1.0", "scale = min(1.0, threshold / (norm + 1e-6))"))
of_clip("clip: squared norm", "The root is forgotten.", r"squar|root", ("top * np.sqrt(sum(np.sum((g / top) ** 2)", "(sum(np.sum(g**2)"), source="paiml/entrenar#311")
of_clip("clip: squared norm against the threshold", "The comparison is with the squared norm, the division by the norm.",
  r"squar|root|compar", ("if norm > threshold else 1.0", "if norm**2 > threshold else 1.0"))
of_clip("clip: largest element", "The norm is the largest absolute value.", r"max|largest|∞|inf", ("top * np.sqrt(sum(np.sum((g / top) ** 2) for g in grads.values()))", "max((np.abs(g).max(initial=0.0) for g in grads.values()), default=0.0)"))
of_clip("clip: sum of absolute values", "The norm is the sum of absolute values.", r"absolute|L1|sum|1-norm", ("top * np.sqrt(sum(np.sum((g / top) ** 2) for g in grads.values()))", "sum(np.sum(np.abs(g.astype(float))) for g in grads.values())"))
of_clip("clip: sum of norms", "The norms of the arrays are added.", r"sum of .*norms|norms.*(added|sum)", ("top * np.sqrt(sum(np.sum((g / top) ** 2) for g in grads.values()))", "sum(np.sqrt(np.sum(g.astype(float) ** 2)) for g in grads.values())"))
of_clip("clip: largest norm", "The largest of the arrays' norms stands for all.", r"largest|max", ("top * np.sqrt(sum(np.sum((g / top) ** 2) for g in grads.values()))", "max((np.sqrt(np.sum(g.astype(float) ** 2)) for g in grads.values()), default=0.0)"))
of_clip("clip: mean square", "The norm is divided by the number of elements.", r"mean|rms|number of elements|size", ("    scale =", "    norm = norm / np.sqrt(max(1, sum(g.size for g in grads.values())))\n    scale ="))
of_clip("clip: applied twice", "The factor multiplies each array twice.", r"twice|squar|two", ("(g * scale)", "(g * scale * scale)"))
of_clip("clip: without effect", "The result is computed and thrown away.", r"(no|without) effect|nothing|unchanged|not clip|never clip|identity|does not", ("(g * scale)", "(g * 1.0)"), source="jcwleo/random-network-distillation-pytorch#17")
of_clip("clip: NaN for zero gradients", "Arrays are divided by the norm before they are scaled: 0/0 where it is zero.",
  r"nan|0/0|zero", ("(g * scale)", "(g / norm * min(norm, threshold))"), source="PaddlePaddle/Paddle#30777")
of_clip("clip: NaN at a threshold of zero", "A strict comparison sends a norm of zero to 0/0 where the threshold is zero too.", r"nan|0/0|zero|θ = 0|threshold", ("scale = threshold / norm if norm > threshold else 1.0", "scale = 1.0 if norm < threshold else (np.float64(threshold) / norm)"),
  source="google-deepmind/optax#1752")
of_clip("clip: inf makes everything zero", "An infinite norm gives the factor zero.", r"inf|zero|overflow", ("top * np.sqrt(sum(np.sum((g / top) ** 2)", "np.sqrt(sum(np.sum(g.astype(float) ** 2)"), source="tensorflow/tensorflow#21363")
of_clip("clip: last array forgotten", "One array is neither counted nor scaled.", r"(one|an|last|some) array|not all|but the last|left out|missing|forg", ("** 2) for g in grads.values()))", "** 2) for g in list(grads.values())[:-1]))"))
of_clip("clip: matrices only", "Vectors are scaled but not counted in the norm.", r"vector|matri|dimension|left out|not all|count", ("** 2) for g in grads.values()))", "** 2) for g in grads.values() if g.ndim > 1))"))
of_clip("clip: norm while scaling", "Each array is scaled by a norm that counts the scaled ones before it.", None, ("return {k: (g * scale).astype(g.dtype) for k, g in grads.items()}", "out = {}\n    for k, g in grads.items():\n        now = np.sqrt(sum(np.sum(v.astype(float) ** 2) for v in (grads | out).values()))\n        out[k] = g * min(1.0, threshold / max(now, 1e-300))\n    return out"))
of_clip("clip: half of the threshold", "The threshold is divided between two calls.", r"threshold|half|0\.5|factor", ("scale = threshold / norm if norm > threshold else 1.0", "scale = 0.5 * threshold / norm if norm > threshold else 1.0"))
of_clip("clip: threshold of the module", "The argument is ignored and a constant used.", r"threshold|argument|ignor|constant|other thresholds", ("scale = threshold / norm if norm > threshold else 1.0", "threshold = 1.0\n    scale = threshold / norm if norm > threshold else 1.0"))
of_clip("clip: changes its argument as well", "It works in place and returns the result too.", r"in place|chang|argument|modif", ("return {k: (g * scale).astype(g.dtype) for k, g in grads.items()}", "for g in grads.values():\n        g *= scale\n    return {k: g * scale for k, g in grads.items()}"))
of_clip("clip: sign lost", "Absolute values are scaled.", r"sign|absolute|negat", ("(g * scale)", "(np.abs(g) * scale)"))


# ---- outputs that are fed back ----


def decoder(x, y, W_hx, W_hh, W_hu, b_h, W_qh, b_q, h0, u0, weights, mask):
    """Where the mask is one, the target of the step before is read in place of the output."""
    T, B = weights.shape
    taught = np.asarray(mask, float)[:, :, None]
    h, u, o = [h0], [], []
    for t in range(T):
        u.append(taught[t] * y[t - 1] + (1 - taught[t]) * o[t - 1] if t else u0)
        h.append(np.tanh(x[t] @ W_hx.T + h[t] @ W_hh.T + u[t] @ W_hu.T + b_h))
        o.append(h[t + 1] @ W_qh.T + b_q)
    error = np.array(o) - y
    loss = 0.5 * np.sum(weights[:, :, None] * error**2)
    d = {"W_hx": 0, "W_hh": 0, "W_hu": 0, "b_h": 0, "W_qh": 0, "b_q": 0}
    dh, du = np.zeros((B, len(b_h))), np.zeros((B, len(b_q)))
    for t in reversed(range(T)):
        do = weights[t][:, None] * error[t]
        if t < T - 1:
            do = do + (1 - taught[t + 1]) * du
        d["W_qh"] += do.T @ h[t + 1]
        d["b_q"] += do.sum(axis=0)
        da = (do @ W_qh + dh) * (1 - h[t + 1] ** 2)
        d["W_hx"] += da.T @ x[t]
        d["W_hh"] += da.T @ h[t]
        d["W_hu"] += da.T @ u[t]
        d["b_h"] += da.sum(axis=0)
        dh, du = da @ W_hh, da @ W_hu
    return loss, d | {"h0": dh, "u0": du}


FREE = (("weights, mask", "weights"), ("np.asarray(mask, float)[:, :, None]", "np.zeros((T, B, 1))"))
TEACHER = (("weights, mask", "weights"), ("np.asarray(mask, float)[:, :, None]", "np.ones((T, B, 1))"))
FED = {
    "free": partial(bug, decoder, bv.cells.elman_feedback, feedback="free"),
    "teacher": partial(bug, decoder, bv.cells.elman_feedback, feedback="teacher"),
    "scheduled": partial(bug, decoder, bv.cells.elman_feedback, feedback="scheduled"),
}
FED["teacher"]("teacher: target leaks", "The network is fed the target that it has to give.",
  r"leak|same step|u_t = y_t", *TEACHER, ("taught[t] * y[t - 1]", "taught[t] * y[t]"), source="sktime/pytorch-forecasting#182")
FED["scheduled"]("scheduled: target leaks", "Where a target is fed, it is that of the same step.",
  r"leak|same step|u_t = y_t", ("taught[t] * y[t - 1]", "taught[t] * y[t]"))
FED["free"]("free: fed output detached", "The output is read as if it were data.",
  r"detach|feedback path|path .*missing", *FREE, ("do = do + (1 - taught[t + 1]) * du", "pass"))
FED["free"]("free: teacher-forced", "Targets are fed though the network should run on its own.",
  r"teacher", *TEACHER)
FED["teacher"]("teacher: runs freely", "Outputs are fed though targets should be.", r"free", *FREE)
FED["teacher"]("teacher: path through outputs kept", "The adjoint goes through an output that is not read.",
  r"follow|feedback path|where a target", *TEACHER, ("do = do + (1 - taught[t + 1]) * du", "do = do + du"))
FED["scheduled"]("scheduled: mask upside down", "One feeds the output, zero the target.",
  r"where the mask is 1|invert|upside|1 - mask|exchang", ("np.asarray(mask, float)[:, :, None]", "1 - np.asarray(mask, float)[:, :, None]"))
FED["scheduled"]("scheduled: mask one step late", "The coin of the step before decides.",
  r"late|step before|one step", ("np.asarray(mask, float)[:, :, None]", "np.roll(np.asarray(mask, float), 1, axis=0)[:, :, None]"))
FED["scheduled"]("scheduled: mask one step early", "The coin of the next step decides.",
  r"early|next step|one step", ("np.asarray(mask, float)[:, :, None]", "np.roll(np.asarray(mask, float), -1, axis=0)[:, :, None]"))
FED["scheduled"]("scheduled: one coin a sequence", "The first coin decides on all steps.",
  r"one coin|whole sequence|first|once|all steps|sequence", ("np.asarray(mask, float)[:, :, None]", "np.asarray(mask, float)[[1 % T] * T][:, :, None]"), source="IBM/pytorch-seq2seq#152")
FED["scheduled"]("scheduled: one coin a batch", "The first sequence's coins decide for all.",
  r"batch|first sequence|all sequences|sequence", ("np.asarray(mask, float)[:, :, None]", "np.repeat(np.asarray(mask, float)[:, :1], B, axis=1)[:, :, None]"))
FED["scheduled"]("scheduled: mask missing on the way back", "The adjoint goes through every output.",
  r"follow|feedback path|where a target|mask", ("do = do + (1 - taught[t + 1]) * du", "do = do + du"))
FED["scheduled"]("scheduled: mask of another step on the way back", "The adjoint is masked with the coin of the step itself.",
  r"mask|path|step", ("(1 - taught[t + 1]) * du", "(1 - taught[t]) * du"))
FED["scheduled"]("scheduled: fed output detached", "The output is read as if it were data.",
  r"detach|feedback path|path .*missing", ("do = do + (1 - taught[t + 1]) * du", "pass"))
FED["free"]("free: first feedback is zero", "u0 is ignored.", r"u0|zero at the first|first step", *FREE, ("if t else u0)", "if t else 0 * u0)"))
FED["teacher"]("teacher: wraps around at the start", "The first step reads the target at -1, the last one.",
  r"first step|last|wrap|u0|y\[-1\]|zero at", *TEACHER, ("if t else u0)", "if True else u0)"), ("(1 - taught[t]) * o[t - 1]", "0"))
FED["free"]("free: new output for the one that was fed", "The feedback weights are paired with the step's own output.",
  r"W_hu", *FREE, ("da.T @ u[t]", "da.T @ o[t]"))
FED["free"]("free: read-out without the fed path", "The read-out weights see the step's loss, not what later steps send.",
  r"W_qh|b_q|feedback", *FREE, ('        if t < T - 1:\n            do = do + (1 - taught[t + 1]) * du\n        d["W_qh"] += do.T @ h[t + 1]\n        d["b_q"] += do.sum(axis=0)\n',
  '        d["W_qh"] += do.T @ h[t + 1]\n        d["b_q"] += do.sum(axis=0)\n        if t < T - 1:\n            do = do + (1 - taught[t + 1]) * du\n'))
FED["free"]("free: output of two steps before", "The buffer of outputs is read one step late.",
  r"two steps|one step (late|more)|late|loss|older", *FREE, ("(1 - taught[t]) * o[t - 1]", "(1 - taught[t]) * (o[t - 2] if t > 1 else u0)"))


# ---- right ones ----


for fn, against, options in (
    (elman, bv.cells.elman, {}),
    (elman_mean, bv.cells.elman, {}),
    (elman_relu, bv.cells.elman_relu, {}),
    (charlm, bv.cells.elman_charlm, {}),
    (gru, bv.cells.gru, {}),
    (gru_original, bv.cells.gru_original, {}),
    (lstm, bv.cells.lstm, {}),
    (lstm_peephole, bv.cells.lstm_peephole, {}),
    (masked, masked_loss, {"inputs": MASKED}),
    (ragged, ragged_loss, {"inputs": RAGGED}),
    (both_ways, both_ways_loss, {"inputs": BOTH_WAYS}),
    (two_layers, two_layers_loss, {"inputs": TWO_LAYERS}),
    (dropped, dropped_loss, {"inputs": DROPPED}),
    (tied, tied_loss, {"inputs": TIED}),
    (leaky, leaky_loss, {"inputs": LEAKY}),
    (cell, cell_loss, {"inputs": CELL}),
    (spiking, spiking_loss, {"inputs": SPIKING}),
    (normed, normed_loss, {"inputs": NORMED}),
    (decoder, bv.cells.elman_feedback, {"feedback": "scheduled"}),
):
    right(against, **options)(fn)
right(bv.cells.elman, check="truncated", estimator=bv.Chunks(4, 4))(chunked)
right(bv.cells.elman, check="truncated", estimator=bv.Window(4))(windowed)
right(bv.cells.elman, check="unbiased")(gated)
right(bv.cells.elman, check="unbiased")(kept)
right(1.0, check="clip", convention="exact")(clip)


@right(bv.cells.elman)
def one_sequence_at_a_time(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
    """A loop over the batch."""
    total, sums, rows = 0.0, {}, {"x": [], "h0": []}
    for b in range(x.shape[1]):
        pick = slice(b, b + 1)
        loss, grads = elman(x[:, pick], y[:, pick], W_hx, W_hh, b_h, W_qh, b_q, h0[pick], weights[:, pick])
        total += loss
        for k in rows:
            rows[k].append(grads.pop(k))
        sums = {k: sums.get(k, 0) + g for k, g in grads.items()}
    return total, sums | {"x": np.concatenate(rows["x"], axis=1), "h0": np.concatenate(rows["h0"])}


@right(bv.cells.elman)
def einsums(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
    """Every product by einsum, the weights' gradients after the loop."""
    h = [h0]
    for x_t in x:
        h.append(np.tanh(np.einsum("bd,nd->bn", x_t, W_hx) + np.einsum("bm,nm->bn", h[-1], W_hh) + b_h))
    h = np.stack(h)
    do = np.einsum("tb,tbq->tbq", weights, np.einsum("tbn,qn->tbq", h[1:], W_qh) + b_q - y)
    error = np.einsum("tbn,qn->tbq", h[1:], W_qh) + b_q - y
    da, carried = np.zeros_like(h[1:]), np.zeros_like(h0)
    for t in range(len(x) - 1, -1, -1):
        da[t] = (np.einsum("bq,qn->bn", do[t], W_qh) + carried) * (1 - h[t + 1] ** 2)
        carried = np.einsum("bn,nm->bm", da[t], W_hh)
    return np.einsum("tbq,tbq->", do, error) / 2, {
        "W_hx": np.einsum("tbn,tbd->nd", da, x), "W_hh": np.einsum("tbn,tbm->nm", da, h[:-1]),
        "b_h": np.einsum("tbn->n", da), "W_qh": np.einsum("tbq,tbn->qn", do, h[1:]), "b_q": np.einsum("tbq->q", do),
        "x": np.einsum("tbn,nd->tbd", da, W_hx), "h0": carried,
    }  # fmt: skip


@right(bv.cells.elman)
def forwards_in_time(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
    """Real-time recurrent learning: derivatives of the state are carried on, and there is no way back."""
    (T, B, d), n = x.shape, len(b_h)
    h, loss, eye = h0, 0.0, np.eye(n)
    P = {"W_hx": np.zeros((B, n, n, d)), "W_hh": np.zeros((B, n, n, n)), "b_h": np.zeros((B, n, n))}
    grads = {"W_hx": 0.0, "W_hh": 0.0, "b_h": 0.0, "W_qh": 0.0, "b_q": 0.0}
    for t in range(T):
        new = np.tanh(x[t] @ W_hx.T + h @ W_hh.T + b_h)
        slope = 1 - new**2
        direct = {"W_hx": np.einsum("ij,bd->bijd", eye, x[t]), "W_hh": np.einsum("ij,bm->bijm", eye, h), "b_h": eye}
        P = {k: np.einsum("bi,bi...->bi...", slope, np.einsum("ij,bj...->bi...", W_hh, P[k]) + direct[k]) for k in P}
        h = new
        error = h @ W_qh.T + b_q - y[t]
        do = weights[t][:, None] * error
        loss += 0.5 * np.sum(do * error)
        c = do @ W_qh
        for k in P:
            grads[k] += np.einsum("bi,bi...->...", c, P[k])
        grads["W_qh"] += do.T @ h
        grads["b_q"] += do.sum(axis=0)
    return loss, grads


@right(bv.cells.linear)
def powers_of_the_matrix(x, y, W_hx, W_hh, W_qh, h0, weights):
    """A linear network as a convolution: its states and their adjoints are sums over powers."""
    T = len(x)
    powers = [np.linalg.matrix_power(W_hh, k) for k in range(T + 1)]
    h = [h0] + [h0 @ powers[t].T + sum(x[s] @ W_hx.T @ powers[t - 1 - s].T for s in range(t)) for t in range(1, T + 1)]
    error = np.array(h[1:]) @ W_qh.T - y
    c = weights[:, :, None] * error @ W_qh
    lam = [sum(c[s] @ powers[s - t] for s in range(t, T)) for t in range(T)]
    return 0.5 * np.sum(weights[:, :, None] * error**2), {
        "W_hx": sum(lam[t].T @ x[t] for t in range(T)), "W_hh": sum(lam[t].T @ h[t] for t in range(T)),
        "W_qh": np.einsum("tbq,tbn->qn", weights[:, :, None] * error, np.array(h[1:])), "h0": lam[0] @ W_hh,
    }  # fmt: skip


@right(bv.cells.elman)
def one_linear_system(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
    """All adjoints at once, from the unrolled system that they solve."""
    loss, grads = elman(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights)
    T, B, n = len(x), x.shape[1], len(b_h)
    h = [h0]
    for t in range(T):
        h.append(np.tanh(x[t] @ W_hx.T + h[t] @ W_hh.T + b_h))
    do = weights[:, :, None] * (np.array(h[1:]) @ W_qh.T + b_q - y)
    dW, db, dx = np.zeros_like(W_hh), np.zeros_like(b_h), np.zeros_like(x)
    for b in range(B):
        M = np.eye(T * n)
        for t in range(T - 1):
            J = (1 - h[t + 2][b] ** 2)[:, None] * W_hh
            M[t * n : (t + 1) * n, (t + 1) * n : (t + 2) * n] = -J.T
        lam = np.linalg.solve(M, (do[:, b] @ W_qh).ravel()).reshape(T, n)
        da = lam * (1 - np.array(h[1:])[:, b] ** 2)
        dW += da.T @ np.array(h[:-1])[:, b]
        db += da.sum(axis=0)
        dx[:, b] = da @ W_hx
    return loss, {**grads, "W_hh": dW, "b_h": db, "x": dx}


@right(bv.cells.elman)
def recomputed(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
    """Every third state is kept; the others are computed again on the way back."""
    T, step = len(x), 3
    kept, h, loss = {0: h0}, h0, 0.0

    def ahead(t, h):
        return np.tanh(x[t] @ W_hx.T + h @ W_hh.T + b_h)

    for t in range(T):
        h = ahead(t, h)
        loss += 0.5 * np.sum(weights[t][:, None] * (h @ W_qh.T + b_q - y[t]) ** 2)
        if (t + 1) % step == 0:
            kept[t + 1] = h
    d = {"W_hx": 0, "W_hh": 0, "b_h": 0, "W_qh": 0, "b_q": 0}
    dh = 0.0
    for start in range((T - 1) // step * step, -1, -step):
        states = [kept[start]]
        for t in range(start, min(start + step, T)):
            states.append(ahead(t, states[-1]))
        for t in range(min(start + step, T) - 1, start - 1, -1):
            new, old = states[t - start + 1], states[t - start]
            do = weights[t][:, None] * (new @ W_qh.T + b_q - y[t])
            da = (do @ W_qh + dh) * (1 - new**2)
            d["W_qh"] += do.T @ new
            d["b_q"] += do.sum(axis=0)
            d["W_hx"] += da.T @ x[t]
            d["W_hh"] += da.T @ old
            d["b_h"] += da.sum(axis=0)
            dh = da @ W_hh
    return loss, d | {"h0": dh}


@right(bv.cells.elman)
def single_precision(**arrays):
    """Everything in float32, and returned so."""
    loss, grads = elman(**{k: v.astype(np.float32) for k, v in arrays.items()})
    return np.float32(loss), {k: g.astype(np.float32) for k, g in grads.items()}


@right(bv.cells.elman)
def extended_precision(**arrays):
    """Everything in long doubles, returned as doubles."""
    loss, grads = elman(**{k: v.astype(np.longdouble) for k, v in arrays.items()})
    return float(loss), {k: g.astype(float) for k, g in grads.items()}


@right(bv.cells.elman, inputs=few)
def by_complex_step(**arrays):
    """The gradient by complex steps of the loss, entry by entry."""

    def loss(a):
        h, total = a["h0"], 0.0
        for t in range(len(a["x"])):
            h = np.tanh(a["x"][t] @ a["W_hx"].T + h @ a["W_hh"].T + a["b_h"])
            error = h @ a["W_qh"].T + a["b_q"] - a["y"][t]
            total = total + 0.5 * np.sum(a["weights"][t][:, None] * error**2)
        return total

    grads = {}
    for k in ("W_hx", "W_hh", "b_h", "W_qh", "b_q", "h0"):
        grads[k] = np.empty(arrays[k].shape)
        for index in np.ndindex(arrays[k].shape):
            moved = arrays[k].astype(complex)
            moved[index] += 1e-200j
            grads[k][index] = loss(arrays | {k: moved}).imag / 1e-200
    return loss(arrays), grads


@right(bv.cells.elman, inputs=few)
def by_differences(**arrays):
    """The gradient by central differences, extrapolated: right to some 1e-10."""

    def loss(k, index, step):
        moved = arrays[k].copy()
        moved[index] += step
        return elman(**(arrays | {k: moved}))[0]

    grads = {}
    for k in ("W_hx", "W_hh", "b_h", "W_qh", "b_q", "h0"):
        grads[k] = np.empty(arrays[k].shape)
        for index in np.ndindex(arrays[k].shape):
            wide, narrow = ((loss(k, index, s) - loss(k, index, -s)) / (2 * s) for s in (2e-3, 1e-3))
            finer = (loss(k, index, 5e-4) - loss(k, index, -5e-4)) / 1e-3
            first, second = (4 * narrow - wide) / 3, (4 * finer - narrow) / 3
            grads[k][index] = (16 * second - first) / 15
    return elman(**arrays)[0], grads


def _reshaped(change):
    def fn(**arrays):
        loss, grads = elman(**arrays)
        return loss, {k: change(g) for k, g in grads.items()}

    return fn


def _strided(g):
    wide = np.zeros(tuple(2 * s for s in g.shape))
    view = wide[tuple(slice(None, None, 2) for _ in g.shape)]
    view[...] = g
    return view


def _locked(g):
    g.flags.writeable = False
    return g


class _Names(Mapping):
    """A mapping that is no dict."""

    def __init__(self, items):
        self._items = items

    def __getitem__(self, key):
        return self._items[key]

    def __iter__(self):
        return iter(self._items)

    def __len__(self):
        return len(self._items)


class _Counting:
    """An object that is called, and that remembers how often."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
        self.calls += 1
        return elman(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights)

    def method(self, *, x, y, W_hx, W_hh, b_h, W_qh, b_q, h0=None, weights=None):
        return self(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights)


class _Array(np.ndarray):
    """A subclass of array."""


def memoised():
    """Results are looked up by the bytes of all arrays, and copied."""
    kept = {}

    def fn(**arrays):
        key = tuple((k, v.shape, v.tobytes()) for k, v in sorted(arrays.items()))
        if key not in kept:
            kept[key] = elman(**arrays)
        loss, grads = kept[key]
        return loss, {k: g.copy() for k, g in grads.items()}

    return fn


def own_buffers():
    """Work space is kept between calls; what is returned is copied out of it."""
    kept = {}

    def fn(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
        buffer = kept.setdefault(x.shape, np.full_like(x, np.nan))
        buffer[...] = x
        return elman(buffer, y.copy(), W_hx, W_hh, b_h, W_qh, b_q, h0, weights)

    return fn


for name, make in {
    "Fortran order": lambda: _reshaped(np.asfortranarray),
    "strided views": lambda: _reshaped(_strided),
    "read-only arrays": lambda: _reshaped(_locked),
    "nested lists": lambda: _reshaped(np.ndarray.tolist),
    "a subclass of array": lambda: _reshaped(lambda g: g.view(_Array)),
    "a loss without axes": lambda: lambda **a: (np.array(elman(**a)[0]), elman(**a)[1]),
    "a mapping that is no dict": lambda: lambda **a: (elman(**a)[0], _Names(elman(**a)[1])),
    "keywords only": lambda: _Counting().method,
    "an object that counts its calls": _Counting,
    "a partial object": lambda: partial(lambda scale, **a: (elman(**a)[0] * scale, elman(**a)[1]), 1.0),
    "more than was asked for": lambda: lambda **a: (elman(**a)[0], elman(**a)[1] | {"weights": np.zeros(1)}),
    "memoised": memoised,
    "own buffers": own_buffers,
}.items():
    RIGHT.append(Right(name, make, bv.cells.elman))


@right(bv.cells.elman)
def in_any_order(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
    """The batch is shuffled at each call, so that sums round differently."""
    order = np.random.default_rng().permutation(x.shape[1])
    back = np.argsort(order)
    loss, grads = elman(x[:, order], y[:, order], W_hx, W_hh, b_h, W_qh, b_q, h0[order], weights[:, order])
    return loss, grads | {"x": grads["x"][:, back], "h0": grads["h0"][back]}


@right(bv.cells.elman)
def in_place_on_copies(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
    """Inputs are copied and then overwritten with their adjoints."""
    x = np.array(x)
    loss, grads = elman(x.copy(), y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights)
    x[...] = grads["x"]
    return loss, grads | {"x": x}


@right(bv.cells.elman, reduction="sum")
def summed(x, y, W_hx, W_hh, b_h, W_qh, b_q):
    """A sum over time and batch."""
    loss, grads = elman_mean(x, y, W_hx, W_hh, b_h, W_qh, b_q)
    count = x.shape[0] * x.shape[1]
    return loss * count, {k: g * count for k, g in grads.items()}


def tape(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
    """Reverse mode by a list of closures."""
    values, grads, back = {}, {}, []

    def put(name, value):
        values[name], grads[name] = value, np.zeros_like(value)

    def add(name, gradient):
        grads[name] = grads[name] + gradient

    for name, value in dict(W_hx=W_hx, W_hh=W_hh, b_h=b_h, W_qh=W_qh, b_q=b_q, h0=h0).items():
        put(name, value)
    loss, old = 0.0, "h0"
    for t in range(len(x)):
        new = f"h at {t}"
        put(new, np.tanh(x[t] @ W_hx.T + values[old] @ W_hh.T + b_h))
        error = values[new] @ W_qh.T + b_q - y[t]
        do = weights[t][:, None] * error
        loss += 0.5 * np.sum(do * error)

        def step(new=new, old=old, t=t):
            da = grads[new] * (1 - values[new] ** 2)
            add("W_hx", da.T @ x[t])
            add("W_hh", da.T @ values[old])
            add("b_h", da.sum(axis=0))
            add(old, da @ W_hh)

        def read(new=new, do=do):
            add("W_qh", do.T @ values[new])
            add("b_q", do.sum(axis=0))
            add(new, do @ W_qh)

        back += [step, read]
        old = new
    for closure in reversed(back):
        closure()
    return loss, {k: grads[k] for k in ("W_hx", "W_hh", "b_h", "W_qh", "b_q", "h0")}


right(bv.cells.elman)(tape)


def sized(T, B, d, n, q, gain=1.0, weights=None):
    """A function of a generator: arrays of these sizes, the recurrent weights of about this radius."""

    def inputs(rng):
        shapes = {"x": (T, B, d), "y": (T, B, q), "W_hx": (n, d), "b_h": (n,), "W_qh": (q, n), "b_q": (q,), "h0": (B, n)}
        arrays = {k: rng.normal(size=s) for k, s in shapes.items()}
        arrays["W_hh"] = gain * rng.normal(size=(n, n)) / np.sqrt(n)
        arrays["weights"] = np.full((T, B), 1 / (T * B)) if weights is None else weights(rng, T, B)
        return arrays

    return inputs


def whole_numbers(rng):
    arrays = {k: np.round(v) for k, v in sized(5, 2, 2, 3, 2)(rng).items()}
    return arrays | {"weights": np.ones((5, 2))}


def at_the_kink(rng):
    """Some units are at exactly zero: no input, no bias, no state."""
    arrays = sized(4, 2, 2, 3, 2)(rng)
    arrays["b_h"][:] = 0
    arrays["h0"][:] = 0
    arrays["x"][0] = 0
    return arrays


for name, inputs in {
    "sizes of one": sized(1, 1, 1, 1, 1),
    "one unit": sized(6, 1, 1, 1, 1),
    "a long sequence": sized(120, 1, 1, 2, 1),
    "vanishing": sized(40, 2, 2, 4, 2, gain=0.05),
    "chaotic": sized(40, 2, 2, 8, 2, gain=4.0),
    "lengths as weights": sized(6, 3, 2, 3, 2, weights=lambda rng, T, B: 1.0 * (np.arange(T)[:, None] < rng.integers(1, T, size=B))),
    "one weight is not zero": sized(6, 2, 2, 3, 2, weights=lambda rng, T, B: 1.0 * (np.arange(T * B).reshape(T, B) == T * B - 1)),
    "whole numbers": whole_numbers,
}.items():
    RIGHT.append(Right(name, lambda: elman, bv.cells.elman, options={"inputs": inputs}))


def relu_at_zero(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
    """The slope at zero is one."""
    return edited(elman_relu, ("(a[t] > 0)", "(a[t] >= 0)"))(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights)


RIGHT.append(Right("relu at the kink", lambda: elman_relu, bv.cells.elman_relu, options={"inputs": at_the_kink}))
RIGHT.append(Right("relu at the kink, slope one", lambda: relu_at_zero, bv.cells.elman_relu, options={"inputs": at_the_kink}))


def exploding_loss(x, A):
    """A linear network whose states grow by a factor of three at each step."""
    h = np.zeros(len(A))
    for x_t in x:
        h = x_t + A @ h
    return np.sum(h**2)


@right(exploding_loss, inputs=lambda rng: {"x": rng.normal(size=(30, 3)), "A": 3 * np.linalg.qr(rng.normal(size=(3, 3)))[0]})
def exploding(x, A):
    h = [np.zeros(len(A))]
    for x_t in x:
        h.append(x_t + A @ h[-1])
    dA, dx, lam = np.zeros_like(A), np.zeros_like(x), 2 * h[-1]
    for t in reversed(range(len(x))):
        dx[t] = lam
        dA += np.outer(lam, h[t])
        lam = A.T @ lam
    return np.sum(h[-1] ** 2), {"x": dx, "A": dA}


def offset_loss(**arrays):
    """A loss that is almost constant."""
    return 1e6 + two_layers_loss(**arrays)


@right(offset_loss, inputs=TWO_LAYERS)
def offset(**arrays):
    loss, grads = two_layers(**arrays)
    return 1e6 + loss, grads


def tiny_loss(**arrays):
    return 1e-12 * two_layers_loss(**arrays)


@right(tiny_loss, inputs=TWO_LAYERS)
def tiny(**arrays):
    loss, grads = two_layers(**arrays)
    return 1e-12 * loss, {k: 1e-12 * g for k, g in grads.items()}


def real_only_loss(x, A):
    """A loss with buffers of floats, which no complex number fits."""
    h = np.zeros((len(x) + 1, len(A)), dtype=float)
    for t in range(len(x)):
        h[t + 1] = np.tanh(x[t] + A @ h[t])
    return float(np.sum(h[-1] ** 2) + np.sum(np.abs(h)))


@right(real_only_loss, inputs=lambda rng: {"x": rng.normal(size=(5, 3)), "A": rng.normal(size=(3, 3))})
def real_only(x, A):
    h = np.zeros((len(x) + 1, len(A)))
    for t in range(len(x)):
        h[t + 1] = np.tanh(x[t] + A @ h[t])
    dA, dx, dh = np.zeros_like(A), np.zeros_like(x), 2 * h[-1]
    for t in reversed(range(len(x))):
        dx[t] = (dh + np.sign(h[t + 1])) * (1 - h[t + 1] ** 2)
        dA += np.outer(dx[t], h[t])
        dh = A.T @ dx[t]
    return np.sum(h[-1] ** 2) + np.sum(np.abs(h)), {"x": dx, "A": dA}


def shared_loss(x, W):
    """One matrix for the input and for the state."""
    h = np.zeros(len(W))
    for x_t in x:
        h = np.tanh(W @ x_t + W.T @ h)
    return np.sum(h**3)


@right(shared_loss, inputs=lambda rng: {"x": rng.normal(size=(5, 3)), "W": rng.normal(size=(3, 3))})
def shared(x, W):
    h = [np.zeros(len(W))]
    for x_t in x:
        h.append(np.tanh(W @ x_t + W.T @ h[-1]))
    dW, dx, dh = np.zeros_like(W), np.zeros_like(x), 3 * h[-1] ** 2
    for t in reversed(range(len(x))):
        da = dh * (1 - h[t + 1] ** 2)
        dW += np.outer(da, x[t]) + np.outer(h[t], da)
        dx[t] = W.T @ da
        dh = W @ da
    return np.sum(h[-1] ** 3), {"x": dx, "W": dW}


def hard(size):
    """Inputs that drive most units into saturation."""
    return lambda rng: {"x": size * rng.normal(size=(4, 2, 3)), "W": rng.normal(size=(3, 3)), "U": rng.normal(size=(3, 3))}


def saturated_loss(x, W, U):
    h = np.zeros((x.shape[1], len(U)))
    for x_t in x:
        h = np.tanh(x_t @ W.T + h @ U.T)
    return np.sum(h)


def saturated(x, W, U):
    h = [np.zeros((x.shape[1], len(U)))]
    for x_t in x:
        h.append(np.tanh(x_t @ W.T + h[-1] @ U.T))
    dW, dU, dx, dh = np.zeros_like(W), np.zeros_like(U), np.zeros_like(x), np.ones_like(h[0])
    for t in reversed(range(len(x))):
        da = dh * (1 - h[t + 1] ** 2)
        dW += da.T @ x[t]
        dU += da.T @ h[t]
        dx[t] = da @ W
        dh = da @ U
    return np.sum(h[-1]), {"x": dx, "W": dW, "U": dU}


for size in (1, 3, 10):
    RIGHT.append(Right(f"saturated by {size}", lambda: saturated, saturated_loss, options={"inputs": hard(size)}))
for size in (1, 30, 300):
    RIGHT.append(Right(f"scores of {size}", lambda: charlm, bv.cells.elman_charlm, options={"inputs": partial(loud, size=size)}))


def main(pattern: str = "") -> None:
    """Judge everything that has the pattern in its name, and print what is said."""
    for entry in [*BUGS, *RIGHT]:
        if re.search(pattern, entry.name):
            report = judged(entry)
            told = isinstance(entry, Bug) and named(entry, report)
            print(f"{report.verdict}{', named' * told}: {entry.name}: {report.diagnosis or next(iter(report.findings), '')}")


def rows():
    """Lines of docs/reference/mistakes.md: what was reported, where, on which inputs it shows, what is said of it."""
    for entry in BUGS:
        if entry.source is not None:
            report = judged(entry)
            first = report.findings[0]
            shows = report.smallest if isinstance(entry.against, bv.Recurrence) and report.smallest else first.case
            said = report.diagnosis or first.what.split(" (relative error")[0]
            cells = (entry.mistake, reported(entry.source), shows or "", said)
            yield f"| {' | '.join(' '.join(c.split()).replace('|', chr(92) + '|') for c in cells)} |"


def reported(source):
    """A link to an issue, or the address."""
    repository, _, number = source.partition("#")
    return f"[{source}](https://github.com/{repository}/issues/{number})" if number else source


if __name__ == "__main__":
    if sys.argv[1:] == ["--rows"]:
        for row in rows():
            print(row, flush=True)
    else:
        main(*sys.argv[1:2])
