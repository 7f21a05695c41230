"""Source text that generated modules contain as it stands: argument checks, stable functions, scatter."""

from __future__ import annotations

PREPARE = '''
def _prepare(given: Mapping[str, Any], needed: Sequence[str], seeds: Mapping[str, Any], shapes: Any) -> Any:
    """Check every array; return those ``needed`` and the seeds in one dtype, the sizes, and that dtype."""
    for name in given:
        if name not in SHAPES:
            raise TypeError(f"{name}: unknown array; expected one of {', '.join(SHAPES)}.")
    for name in seeds:
        if name not in shapes:
            raise TypeError(f"{name}: unknown seed; expected one of {', '.join(shapes)}.")
    arrays = {k: np.asarray(v) for k, v in given.items() if v is not None}
    sizes: dict[str, int] = {}
    for name, shape in SHAPES.items():
        if name in arrays:
            _check(name, arrays[name], shape, sizes)
        elif name in needed and name not in OPTIONAL:
            raise TypeError(f"{name}: missing; expected an array of shape ({', '.join(shape)}).")
    extra = {k: np.asarray(v) for k, v in seeds.items() if v is not None}
    for name, array in extra.items():
        _check(name, array, shapes[name], sizes)
    for name, word in CLASSES.items():
        if name in arrays and (arrays[name].min() < 0 or arrays[name].max() >= sizes[word]):
            span = f"{arrays[name].min()} to {arrays[name].max()}"
            raise ValueError(f"{name}: classes from {span}; expected 0 to {word} - 1 = {sizes[word] - 1}.")
    numbers = [a for k, a in arrays.items() if k not in CLASSES]
    real = [a.dtype if a.dtype.kind in "fc" else np.dtype(float) for a in numbers]
    dtype = np.result_type(*real, *extra.values())
    steps, batch = sizes["T"], sizes["B"]
    arrays.setdefault("weights", np.full((steps, batch), 1 / (steps * batch)))
    for name in OPTIONAL:
        if name not in arrays:
            arrays[name] = np.zeros([sizes[w] for w in SHAPES[name]])
    for name, shape in shapes.items():
        extra.setdefault(name, np.zeros([sizes[w] for w in shape]))
    ready = [np.asarray(arrays[n], None if n in CLASSES else dtype, order="C") for n in needed]
    ready += [np.asarray(extra[n], dtype, order="C") for n in shapes]
    return ready, [sizes[w] for w in SIZES], dtype


def _check(name: str, array: Any, shape: Sequence[str], sizes: dict[str, int]) -> None:
    """Check one array's kind and shape against the sizes known so far, and add its own."""
    kinds = "iu" if name in CLASSES else "fciub"
    if array.dtype.kind not in kinds or array.dtype in (np.float16, np.longdouble):
        wanted = "integer classes" if name in CLASSES else "float32 or float64"
        raise TypeError(f"{name}: dtype={array.dtype}; expected {wanted}.")
    if array.ndim != len(shape):
        hint = ""
        if "B" in shape and array.ndim == len(shape) - 1:
            index = ", ".join("None" if w == "B" else ":" for w in shape)
            hint = f" The batch axis is always there: {name}[{index}] adds it."
        raise ValueError(f"{name}: shape={array.shape}; expected ({', '.join(shape)}).{hint}")
    wanted = f"{name}: shape={array.shape}; expected ({', '.join(shape)})"
    for word, length in zip(shape, array.shape, strict=True):
        if length < 1:
            raise ValueError(f"{wanted} with every size at least 1.")
        if sizes.setdefault(word, length) != length:
            raise ValueError(f"{wanted} with {word}={sizes[word]} as in the arrays before it.")
'''

# What a scheduled module does first.
WITH_MASK = ("    for name in given:\n", "    given = _with_mask(given)\n    for name in given:\n")

TRACE = '''class Trace(NamedTuple):
    """What ``forward`` returns."""

    loss: Any
    outputs: Any
    states: dict[str, Any]
'''

ESTIMATE = '''class Estimate(NamedTuple):
    """What ``estimate`` returns: the gates as drawn or given, and how many products J_tᵀ λ_t were made."""

    loss: Any
    grads: dict[str, Any]
    xi: Any
    products: int
'''

HELPERS = {
    "_buffers": '''
def _buffers(workspace: dict[str, Any] | None, dtype: Any) -> Any:
    """Uninitialised arrays by name; kept in ``workspace`` between calls where one is given."""
    kept = {} if workspace is None else workspace

    def buffer(name: str, *shape: int) -> Any:
        array = kept.get(name)
        if array is None or array.shape != shape or array.dtype != dtype:
            array = kept[name] = np.empty(shape, dtype)
        return array

    return buffer
''',
    "_sigmoid": '''
def _sigmoid(u: Any, out: Any = None) -> Any:
    """1 / (1 + exp(-u)), for real and complex arrays; where exp overflows, the result is 0."""
    if u.dtype.kind == "c":
        u = np.maximum(u.real, -700.0) + 1j * u.imag
    out = np.negative(u, out=out)
    np.exp(out, out=out)
    np.add(out, 1, out=out)
    return np.divide(1, out, out=out)
''',
    "_softplus": '''
def _softplus(u: Any, out: Any = None) -> Any:
    """log(1 + exp(u)) without overflow, for real and complex arrays."""
    positive = u.real > 0
    return np.add(np.where(positive, u, 0), np.log1p(np.exp(np.where(positive, -u, u))), out=out)
''',
    "_relu": '''
def _relu(u: Any, out: Any = None) -> Any:
    """max(u, 0), judged by the real part."""
    return np.multiply(u, u.real > 0, out=out)
''',
    "_step": '''
def _step(u: Any, out: Any = None) -> Any:
    """1 where the real part is positive, else 0."""
    return np.multiply(np.ones_like(u), u.real > 0, out=out)
''',
    "_abs": '''
def _abs(u: Any, out: Any = None) -> Any:
    """|u|, judged by the real part."""
    return np.multiply(u, np.where(u.real < 0, -1, 1).astype(u.dtype), out=out)
''',
    "_sign": '''
def _sign(u: Any, out: Any = None) -> Any:
    """-1, 0 or 1 by the real part, in the dtype of u."""
    return np.multiply(np.ones_like(u), np.sign(u.real), out=out)
''',
    "_scatter": '''
def _scatter(classes: Any, rows: Any, count: int) -> Any:
    """For each class the sum of the rows that belong to it: an array (count, row length)."""
    flat, rows = classes.reshape(-1), rows.reshape(classes.size, -1)
    order = np.argsort(flat, kind="stable")
    present, starts = np.unique(flat[order], return_index=True)
    sums = np.zeros((count, rows.shape[1]), rows.dtype)
    sums[present] = np.add.reduceat(rows[order], starts, axis=0)
    return sums
''',
    "_with_mask": '''
def _with_mask(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays with the mask as (T, B): 1 where a target is fed, 0 where the output is."""
    found = dict(given)
    mask, like = np.asarray(found.get("mask")), np.shape(found.get(next(iter(SHAPES))))
    if mask.dtype.kind not in "fciub":
        raise TypeError("mask: missing; expected 0 and 1 of shape (T) or (T, B): 1 feeds the target.")
    if np.any((mask != 0) & (mask != 1)):
        wrong = mask[(mask != 0) & (mask != 1)].flat[0]
        raise ValueError(f"mask: {wrong} is in it; expected 0 (the output is fed) and 1 (the target is).")
    if mask.ndim == 1 and len(like) > 1:
        mask = np.repeat(mask[:, None], like[1], axis=1)
    found["mask"] = mask.astype(np.float32)  # exact, and it leaves the dtype to the other arrays
    return found
''',
    "_live": '''
def _live(loss_at: Any, opens: Any) -> tuple[Any, list[int], int]:
    """Where λ_t may be other than 0, these steps from the last on, and how many send a product on.

    λ_t is not zero where a loss reads the state, or where it comes through the open gate of step t + 1.
    """
    found, through = [], False
    for here, gate in zip(loss_at[::-1].tolist(), opens[::-1].tolist(), strict=True):
        found.append(here or through)
        through = found[-1] and gate
    live = np.array(found[::-1])
    return live, np.flatnonzero(live)[::-1].tolist(), int(np.sum(live & opens))
''',
    "_from_first": '''
def _from_first(given: Any, gates: Any, live: Any, **kept: Any) -> tuple[Any, dict[str, Any]]:
    """Loss and gradient, where the steps before the first with λ_t ≠ 0 are only run forward."""
    first = int(live.argmax()) if live.any() else len(live) - 1
    if first == 0:
        return _gated(given, gates, **kept)
    series = [k for k, v in given.items() if v is not None and SHAPES[k][:1] == ("T",)]
    states = forward(**given | {k: given[k][:first] for k in series}, **kept).states
    starts = {f"{s}0": v[-1] for s, v in states.items()}
    loss, grads = _gated(given | {k: given[k][first:] for k in series} | starts, gates[first:], **kept)
    for k in grads.keys() & series:
        grads[k] = np.concatenate((np.zeros((first, *grads[k].shape[1:]), grads[k].dtype), grads[k]))
    return loss, grads | {k: np.zeros_like(grads[k]) for k in starts}
''',
    "_summed": '''
def _summed(given: Mapping[str, Any], adjoints: Any, **kept: Any) -> tuple[Any, dict[str, Any], int]:
    """Loss, gradient, and the number of products made; ``kept`` is the workspace, where there is one.

    ``adjoints(given, before, c)`` makes λ_t from the states before each step and c_t, all by state.
    """
    starts, _, _ = _prepare(given, [f"{s}0" for s in STATES], {}, {})
    loss, _, after = forward(**given, **kept)
    before = {
        f"{s}@-1": np.concatenate((start[None], after[s][:-1]))
        for s, start in zip(STATES, starts, strict=True)
    }
    grads = _direct(given, before | after, **kept)
    # c_t = (∂L_t/∂h_t + ∂L_{t+1}/∂h_t)ᵀ
    c = {s: grads.pop(s) for s in STATES}
    for s in STATES:
        c[s][:-1] += grads[f"{s}@-1"][1:]
    adjoint, products = adjoints(given, before, c, **kept)
    # ∂L/∂w = Σ_t ∂L_t/∂w + Σ_i λ_iᵀ A_i, and in the same way for inputs and previous states
    for name, share in _through(given, before | adjoint, **kept).items():
        grads[name] = grads[name] + share if name in grads else share
    # ∂L/∂h_0 = ∂L_1/∂h_0 + λ_1ᵀ J_1
    for s in STATES:
        grads[f"{s}0"] = grads.pop(f"{s}@-1")[0].copy()
    return loss, grads, products
''',
    "_every_product": '''
def _every_product(given: Any, before: Any, c: Any, **kept: Any) -> tuple[dict[str, Any], int]:
    """The adjoints λ_t by the closed form of T2, all states stacked; and the number of products."""
    blocks = _jacobians(given, before, **kept)
    together = np.concatenate([c[s].reshape(*c[s].shape[:2], -1) for s in STATES], axis=2)
    sizes = [c[s][0, 0].size for s in STATES]
    whole = list(zip(STATES, sizes, strict=True))
    rows = [[blocks[f"d{s}/d{r}"].reshape(*together.shape[:2], m, n) for r, n in whole] for s, m in whole]
    J = np.block(rows)
    adjoints = np.split(_closed_sum(J, together), np.cumsum(sizes)[:-1], axis=2)
    count = len(J) * (len(J) - 1) // 2
    return {s: a.reshape(c[s].shape) for s, a in zip(STATES, adjoints, strict=True)}, count


def _closed_sum(J: Any, c: Any) -> Any:
    """λ_t = Σ_{s≥t} (J_s … J_{t+1})ᵀ c_s, the newest factor of a product on the left; T (T - 1)/2 products.

    J (T, B, n, n), c (T, B, n).
    """
    adjoint = c.copy()
    for t in range(len(J)):
        product = np.eye(J.shape[-1], dtype=J.dtype)
        for s in range(t + 1, len(J)):
            product = J[s] @ product  # J_s … J_{t+1}
            adjoint[t] += np.einsum("bij,bi->bj", product, c[s])
    return adjoint
''',
    "_run_back": '''
def _run_back(given: Any, before: Any, c: Any, **kept: Any) -> tuple[dict[str, Any], int]:
    """The truncated adjoints λ_t, all chunks at once; and how many products J_tᵀ λ that takes.

    Chunk m (from 0) ends with row K1 (m + 1) - 1, which may lie beyond the last one; j rows earlier it has
    made j products. Its own losses are those of its last K1 rows; it ends after K2 rows, or at the first row.
    """
    steps = len(c[STATES[0]])
    chunks = -(-steps // K1)
    known = before | _slopes(given, before, **kept)
    adjoint = {s: np.zeros_like(c[s]) for s in STATES}
    sent = {s: np.zeros((chunks, *c[s].shape[1:]), c[s].dtype) for s in STATES}
    products = 1  # J_1ᵀ λ_1, for the initial states
    for j in range(min(K2, K1 * chunks)):
        low, high = j // K1, min(chunks, (steps + j) // K1)  # chunks whose row exists
        begun = min(chunks, (steps + j - 1) // K1)  # and whose next row exists too
        if j and low < begun:
            later = slice(K1 * (low + 1) - j, K1 * begun - j + 1, K1)
            rows = {k: v[later] if v is not None and SHAPES[k][:1] == ("T",) else v for k, v in given.items()}
            seeds = {s: sent[s][low:begun] for s in STATES} | {k: known[k] for k in FIXED}
            seeds |= {k: known[k][later] for k in MOVING}
            back = _back(rows, seeds, **kept)
            for s in STATES:
                sent[s][low:begun] = back[f"{s}@-1"]
            products += begun - low
        here = slice(K1 * (low + 1) - 1 - j, K1 * high - j, K1)
        for s in STATES:
            if j < K1:
                sent[s][low:high] += c[s][here]
            adjoint[s][here] += sent[s][low:high]
    return adjoint, products
''',
}
