"""Duality of forward and reverse mode: it holds for a right pair, and every broken pair is found."""

from __future__ import annotations

import numpy as np
import pytest

from bptt_verify.check import Case, duality_evidence


def run(a):
    hs = [a["h0"]]
    for x in a["x"]:
        hs.append(np.tanh(x + hs[-1] @ a["W"].T))
    return hs


def jvp(a, v):
    hs, dot = run(a), v["h0"]
    tangents = []
    for t in range(len(a["x"])):
        dot = (1 - hs[t + 1] ** 2) * (v["x"][t] + dot @ a["W"].T + hs[t] @ v["W"].T)
        tangents.append(dot)
    return {"outputs": np.array(tangents), "last": dot}


def vjp(a, c, bug=""):
    hs, later = run(a), c["last"]
    g = {"W": np.zeros_like(a["W"]), "x": np.zeros_like(a["x"])}
    for t in reversed(range(len(a["x"]))):
        u = (1 - hs[t + 1] ** 2) * (c["outputs"][t] + later)
        g["W"] += u.T @ (hs[t + 1] if bug == "W" else hs[t])
        g["x"][t] = u
        later = u @ a["W"]
    g["h0"] = 2 * later if bug == "h0" else later
    if bug == "x":
        g["x"][-1, 0, 0] = np.nan
    return g


def cases(dtype=float, radius=0.5):
    rng = np.random.default_rng(7)
    shapes = {"x": (12, 2, 3), "W": (3, 3), "h0": (2, 3)}
    arrays = {k: rng.normal(size=s).astype(dtype) for k, s in shapes.items()}
    arrays["W"] = (radius * arrays["W"]).astype(dtype)
    return [Case("T=12", arrays)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("radius", [0.5, 1e-3])
def test_right_pair_is_verified(dtype, radius):
    evidence = duality_evidence(jvp, vjp, cases(dtype, radius), ("W", "x", "h0"), np.random.default_rng(0))
    assert evidence.verdict == "verified", evidence
    assert evidence.numbers["identities"] == 8


@pytest.mark.parametrize("block", ["W", "x", "h0"])
def test_broken_pair_is_refuted(block):
    def broken(a, c):
        return vjp(a, c, block)

    evidence = duality_evidence(jvp, broken, cases(radius=1e-3), ("W", "x", "h0"), np.random.default_rng(0))
    assert evidence.verdict == "refuted"
    alone = {f.block for f in evidence.findings} - {"all blocks together"}
    assert alone == {block}


def test_nothing_to_compare_is_inconclusive():
    assert duality_evidence(jvp, vjp, [], ("W",), np.random.default_rng(0)).verdict == "inconclusive"
