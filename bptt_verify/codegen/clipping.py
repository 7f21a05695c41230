"""``generate_update``: standalone source of a clipped step (claims T8 and T9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sympy as sp

from bptt_verify.codegen.cliptexts import CHECKS, HEADER, NORM, UPDATE
from bptt_verify.codegen.clipvariants import BY_ARRAY, BY_ELEMENT, BY_NORM
from bptt_verify.codegen.kernel import load
from bptt_verify.errors import UsageError
from bptt_verify.kernels.translation import update_errors

theta, n, margin = sp.symbols("threshold norm MARGIN", positive=True)


@dataclass(frozen=True)
class Convention:
    """A way to clip.

    Attributes
    ----------
    title : str
    formula : str
        Lines of the module's docstring.
    function : str
        Name of the clip in the module.
    bound : str
        What the norm of the result never exceeds.
    factor : SymPy expression, or None
        What a gradient of norm n is multiplied with where it is clipped; None where no norm decides.
    """

    title: str
    formula: tuple[str, ...]
    function: str
    bound: str
    factor: Any = None


CONVENTIONS: Mapping[str, Convention] = {
    "exact": Convention(
        "one norm over all arrays",
        ("clip_θ(g) = min(1, θ/‖g‖) g,  clip_θ(0) = 0",),
        "clip_by_norm",
        "θ",
        theta / n,
    ),
    "torch": Convention(
        "one norm over all arrays, to which 1e-6 is added",
        ("clip_θ(g) = min(1, θ/(‖g‖ + 1e-6)) g",),
        "clip_by_norm",
        "θ",
        theta / (n + margin),
    ),
    "per_parameter": Convention(
        "every array by its own norm",
        ("clip_θ(g)_p = min(1, θ/‖g_p‖) g_p  for each array p",),
        "clip_each_by_norm",
        "√P θ for P arrays",
        theta / n,
    ),
    "per_element": Convention(
        "every element between -θ and θ",
        ("clip_θ(g)_i = min(max(g_i, -θ), θ)  for each element i; the direction of g changes",),
        "clip_by_value",
        "√N θ for N elements",
    ),
}


@dataclass(frozen=True, eq=False)
class Update:
    """A generated update: the source, and its functions ready to call.

    Attributes
    ----------
    convention : {"exact", "torch", "per_parameter", "per_element"}
    source : str
        A standalone Python module; its clip is named by the convention.
    """

    convention: str
    source: str
    namespace: Mapping[str, Any] = field(repr=False, compare=False)

    def write(self, path: str | Path) -> Path:
        """Write the source to a file and return its path."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(self.source, encoding="utf-8")
        return target

    def clip(self, grads: Mapping[str, Any], threshold: float) -> dict[str, Any]:
        """The clipped gradient.

        Parameters
        ----------
        grads : dict of arrays
            float32 or float64, any shapes; all entries are clipped.
        threshold : float
            Positive; inf leaves everything as it is.

        Raises
        ------
        UsageError
            If the threshold is not positive.
        ArrayError
            If an array is not finite, or not of float32 or float64.
        """
        return self._run(CONVENTIONS[self.convention].function, grads, threshold)

    def clipped_update(
        self,
        params: Mapping[str, Any],
        grads: Mapping[str, Any],
        *,
        step_size: float,
        threshold: float,
        inplace: bool = False,
    ) -> dict[str, Any]:
        """The step w ← w - η clip_θ(g); as ``clip``, and ``grads`` needs an entry for every parameter."""
        return self._run(
            "clipped_update", params, grads, step_size=step_size, threshold=threshold, inplace=inplace
        )

    def clip_derivative(
        self, grads: Mapping[str, Any], threshold: float, directions: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The derivative of the clip along ``directions``, away from the kink.

        It is symmetric: tangents give tangents (jvp), cotangents give cotangents (vjp).
        """
        return self._run("clip_derivative", grads, threshold, directions)

    def _run(self, function: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        with update_errors():
            return self.namespace[function](*args, **kwargs)  # type: ignore[no-any-return]


def generate_update(*, convention: str = "exact") -> Update:
    """Generate the clip of a convention, its derivative, and the step that uses it.

    Parameters
    ----------
    convention : {"exact", "torch", "per_parameter", "per_element"}
        ``exact`` is claim T8. ``torch`` divides by ‖g‖ + 1e-6; ``per_parameter`` clips every array by its own
        norm; ``per_element`` clamps every element.

    Returns
    -------
    Update

    Raises
    ------
    UsageError
        If the convention is not one of those listed.
    """
    if not isinstance(convention, str) or convention not in CONVENTIONS:
        known = ", ".join(map(repr, CONVENTIONS))
        raise UsageError(f"generate_update: convention={convention!r:.60}; expected one of {known}.")
    source = update_source(convention)
    return Update(convention, source, load(source, f"<update {convention}>"))


def update_source(name: str) -> str:
    """The source of a convention's module."""
    convention = CONVENTIONS[name]
    formula = (*convention.formula, f"‖clip_θ(g)‖ ≤ {convention.bound}")
    words = {
        "name": name,
        "title": convention.title,
        "formula": "\n".join(f"    {line}" for line in formula),
        "function": convention.function,
        "bound": convention.bound,
    }
    parts = [HEADER, CHECKS]
    if convention.factor is None:
        words["derivative"] = "    dclip_θ(g) v = v_i where |g_i| < θ, else 0, for each element i"
        parts += [BY_ELEMENT]
    else:
        words |= _slopes(convention)
        parts += [NORM, BY_ARRAY if name == "per_parameter" else BY_NORM]
    return "".join(_filled(part, words) for part in (*parts, UPDATE))


def _slopes(convention: Convention) -> dict[str, str]:
    """The texts of the derivative: along the gradient the clip's norm n s(n) changes by d(n s)/dn."""
    factor = convention.factor
    radial = sp.factor(sp.diff(n * factor, n))
    across = "    dclip_θ(g) v = v inside;  outside, with n = ‖g‖, u = g/n:  "
    if radial == 0:
        return {
            "margin": "0.0",
            "derivative": across + "(θ/n) (v - u ⟨u, v⟩)",
            "radial": "0.0",
        }
    relative = sp.factor(radial / factor)  # n + MARGIN in units of 2**exponent cancels in it
    return {
        "margin": "1e-6",
        "derivative": across + "s (v - u ⟨u, v⟩) + (d(n s)/dn) u ⟨u, v⟩,\n"
        f"    s = θ/(n + 1e-6),  d(n s)/dn = {_shown(radial)}",
        "radial": str(relative.subs({margin: sp.Symbol("margin"), n: sp.Symbol("norm")})),
    }


def _shown(expression: Any) -> str:
    text = str(expression).replace("**2", "²").replace("*", " ")
    return text.replace("MARGIN", "1e-6").replace("threshold", "θ").replace("norm", "n")


def _filled(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(f"<{word}>", value)
    return text
