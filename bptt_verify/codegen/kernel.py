"""``generate``: from a recurrence to a Kernel, which holds the source and runs it."""

from __future__ import annotations

import linecache
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from bptt_verify.codegen.double_sum import DoubleSumModule, closed_programs
from bptt_verify.codegen.fusion import fuse
from bptt_verify.codegen.gated import GatedModule
from bptt_verify.codegen.hoisting import hoist
from bptt_verify.codegen.module import Module, Programs
from bptt_verify.codegen.truncated import TruncatedModule, truncated_programs
from bptt_verify.derivation import adjoint, cotangent_adjoint, gated_adjoint, tangent
from bptt_verify.errors import ArrayError, UnsupportedError, UsageError
from bptt_verify.estimators import KINDS, Estimator, Full, Randomized, gated
from bptt_verify.language import Recurrence, inward, outward, with_feedback
from bptt_verify.program import Program, digest

BACKENDS = ("numpy",)
STYLES = ("fast", "plain")
METHODS = ("recursion", "double_sum")


@dataclass(frozen=True, eq=False)
class Kernel:
    """Generated gradient code: the source, and its functions ready to call.

    Attributes
    ----------
    recurrence : Recurrence
    programs : Programs
        What the source computes, equation by equation (``programs.all()``).
    source : str
        A standalone Python module.
    style : str
        ``"fast"`` or ``"plain"``.
    method : str
        ``"recursion"`` or ``"double_sum"``.
    estimator : Full, Window, Chunks or Randomized
        Which terms of the gradient sum ``loss_and_grad`` keeps.
    """

    recurrence: Recurrence
    programs: Programs
    source: str
    style: str
    method: str
    estimator: Estimator
    namespace: Mapping[str, Any] = field(repr=False, compare=False)
    memory: threading.local = field(default_factory=threading.local, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Name of the recurrence."""
        return self.recurrence.name

    def write(self, path: str | Path) -> Path:
        """Write the source to a file and return its path."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(self.source, encoding="utf-8")
        return target

    def loss_and_grad(self, **arrays: Any) -> tuple[Any, dict[str, Any]]:
        """Loss, and its gradient by name for every parameter, real input and initial state.

        Parameters
        ----------
        **arrays
            By declared name, time-major: inputs and targets (T, B, size), parameters of their sizes,
            initial states ``<state>0`` (B, size) (zeros if left out), ``weights`` (T, B) of the loss
            terms (``1/(T B)`` if left out). float32 or float64; the result has the same dtype.
            ``workspace``, a dict, replaces the buffers that the kernel keeps between calls. A ``Randomized``
            kernel takes a ``numpy.random.Generator`` as ``rng``, or the gates themselves as ``xi``, (T,) or
            (T, B): 0 or 1/π_t. A scheduled kernel takes ``mask``, (T,) or (T, B): 1 where the target of the
            step before is fed, 0 where its output is; the first row is ignored, since ``<feedback>0`` is fed.

        Raises
        ------
        ArrayError
            If an array is missing, unknown, or has a wrong shape or dtype.
        """
        return self._run("loss_and_grad", **arrays)  # type: ignore[no-any-return]

    def estimate(self, **arrays: Any) -> Any:
        """``Estimate(loss, grads, xi, products)`` of a truncated or randomized gradient.

        ``xi`` are the gates that were drawn, given or fixed (None where there is more than one a step), and
        ``products`` counts the products J_tᵀ λ that were made, one for each step and batch; arrays as for
        ``loss_and_grad``.

        Raises
        ------
        UnsupportedError
            If the estimator is ``Full()``, which makes one product a step.
        """
        return self._run("estimate", **arrays)

    def forward(self, **arrays: Any) -> Any:
        """``Trace(loss, outputs, states)``; arrays as for ``loss_and_grad``.

        What each step feeds back is among the states, under the name of the Feedback: its last row is the
        ``<name>0`` with which a series goes on. (In a scheduled kernel the first row of ``mask`` chooses it.)
        """
        return self._run("forward", **arrays)

    def vjp(self, arrays: Mapping[str, Any], cotangents: Mapping[str, Any], **gates: Any) -> dict[str, Any]:
        """Gradients from cotangents of the outputs (``"output"``) and of the final states (by name).

        A ``Randomized`` kernel takes ``xi`` or ``rng`` too.
        """
        return self._run("vjp", arrays, cotangents, **gates)  # type: ignore[no-any-return]

    def jvp(self, arrays: Mapping[str, Any], tangents: Mapping[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
        """Tangents of loss, outputs and states along tangents of the arrays (by name)."""
        return self._run("jvp", arrays, tangents)  # type: ignore[no-any-return]

    def prepared(self, caller: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """All arrays as ``loss_and_grad`` sees them: checked, in one dtype, with those left out filled in.

        Parameters
        ----------
        caller : str
            Who asks, for the messages.
        arrays : mapping of str to array

        Raises
        ------
        ArrayError
            As ``loss_and_grad`` does.
        """
        names, arrays = tuple(self.namespace["SHAPES"]), outward(arrays)
        self._check_names(caller, arrays)
        with self._errors(caller):
            ready, _, _ = self.namespace["_prepare"](arrays, names, {}, {})
        return inward(dict(zip(names, ready, strict=True)))

    def _run(self, function: str, *args: Any, **arrays: Any) -> Any:
        if function not in self.namespace:
            raise UnsupportedError(self._absent(function))
        for what, given in zip(
            ("arrays", "tangents" if function == "jvp" else "cotangents"), args, strict=False
        ):
            if not isinstance(given, Mapping):
                raise ArrayError(
                    f"{self.name}.{function}: {what}={given!r:.40}; expected a dict of arrays by name."
                )
        args, arrays = (outward(args[0]), *args[1:]) if args else (), outward(arrays)
        workspace = arrays.pop("workspace", None)
        kept = {name: arrays.pop(name) for name in self._drawn(function) if name in arrays}
        if not args or arrays:
            self._check_names(function, arrays)
        if self.style != "plain":
            kept["workspace"] = self._workspace(function) if workspace is None else workspace
        with self._errors(function):
            return self.namespace[function](*args, **arrays, **kept)

    def _absent(self, function: str) -> str:
        """Why there is no such function, and what to call instead."""
        if function == "estimate":
            return f"{self.name}.estimate: estimator=Full() leaves nothing out; call loss_and_grad."
        kind = f"method={self.method!r}" if self.method != "recursion" else f"estimator={self.estimator}"
        wanted = "method='recursion' and estimator=Full()"
        return (
            f"{self.name}.{function}: {kind:.80} has no {function}; expected {wanted}. "
            f"Use generate({self.name}).{function}."
        )

    def _drawn(self, function: str) -> tuple[str, ...]:
        """Arguments that are no arrays of the recurrence."""
        random = isinstance(self.estimator, Randomized) and function in ("loss_and_grad", "estimate", "vjp")
        return ("xi", "rng") if random else ()

    def _check_names(self, function: str, arrays: Mapping[str, Any]) -> None:
        """Every array is known, and none is missing."""
        known = self.namespace["SHAPES"]
        unknown = [n for n in arrays if n not in known]
        if unknown:
            raise ArrayError(
                f"{self.name}.{function}: unknown array {unknown[0]!r}; expected {', '.join(known)}."
            )
        missing = [n for n in known if n not in arrays and n not in self.namespace["OPTIONAL"]]
        if missing:
            shape = ", ".join(known[missing[0]])
            raise ArrayError(
                f"{self.name}.{function}: missing array {missing[0]!r}; expected shape ({shape})."
            )

    @contextmanager
    def _errors(self, function: str) -> Iterator[None]:
        """What the module says of its arrays, as an error of this library."""
        try:
            yield
        except (ValueError, TypeError) as error:
            raise ArrayError(f"{self.name}.{function}: {error}") from error

    def _workspace(self, function: str) -> dict[str, Any]:
        """The buffers of one function, one set a thread; nothing that is returned lies in them."""
        kept = self.memory.__dict__.setdefault(function, {})
        return kept  # type: ignore[no-any-return]

    def __reduce__(self) -> Any:
        return (_generate, (self.recurrence, self.style, self.method, self.estimator))


def generate(
    rec: Recurrence,
    *,
    estimator: Estimator | None = None,
    backend: str = "numpy",
    feedback: str | None = None,
    style: str = "fast",
    method: str = "recursion",
) -> Kernel:
    """Derive the gradient of a recurrence and generate its kernel.

    Parameters
    ----------
    rec : Recurrence
    estimator : Full, Window, Chunks or Randomized, optional
        Which terms of the gradient sum are kept; all of them, if left out.
    backend : {"numpy"}
    feedback : {"free", "teacher", "scheduled"}, optional
        What a Feedback is fed (claim T11): the output of the step before (as if left out), its target, or
        one of them by the array ``mask``. The gradient follows the feedback path where the output is fed.
    style : {"fast", "plain"}
        ``fast`` writes into buffers; ``plain`` prints the same program as plain expressions.
    method : {"recursion", "double_sum"}
        ``recursion`` is λ_t = c_t + J_{t+1}ᵀ λ_{t+1}; ``double_sum`` the closed form of claim T2 with every
        product of Jacobians made: slow, and not finite where one overflows, to check the recursion with and
        to show why it is used. It has no ``vjp`` and no ``jvp``.

    Returns
    -------
    Kernel

    Raises
    ------
    UsageError
        If an argument is not one of those listed, or ``rec`` has no Feedback to feed targets to.
    RecurrenceError
        If targets are to be fed, and it is not clear which.
    """
    if not isinstance(rec, Recurrence):
        raise UsageError(f"generate: rec={rec!r:.60}; expected a Recurrence, made by @recurrence.")
    estimator = Full() if estimator is None else estimator
    if not isinstance(estimator, KINDS):
        raise UsageError(
            f"generate: estimator={estimator!r:.60}; expected Full(), Window(tau), Chunks(k1, k2) or "
            "Randomized(pi)."
        )
    for what, value, known in (
        ("backend", backend, BACKENDS),
        ("style", style, STYLES),
        ("method", method, METHODS),
    ):
        if value not in known:
            raise UsageError(f"generate: {what}={value!r}; expected one of {', '.join(map(repr, known))}.")
    if method != "recursion" and estimator != Full():
        raise UsageError(
            f"generate: method={method!r} with estimator={estimator!s:.60}; expected method='recursion'. "
            "The double sum writes out the full gradient."
        )
    return _generate(with_feedback(rec, feedback), style, method, estimator)


def _generate(rec: Recurrence, style: str, method: str, estimator: Estimator) -> Kernel:
    programs, source = _written(rec.program, style, method, estimator)
    title = f"<kernel {rec.name} {digest(rec.program)[:12]} {style} {method} {estimator!s:.40}>"
    return Kernel(rec, programs, source, style, method, estimator, load(source, title))


@lru_cache(maxsize=256)
def _written(program: Program, style: str, method: str, estimator: Estimator) -> tuple[Programs, str]:
    """What is derived and written once for all kernels of a kind; a kernel's namespace is its own."""
    module = _module(program, style, method, estimator)
    return module.programs, module.write()


def _module(program: Program, style: str, method: str, estimator: Estimator) -> Module:
    programs = derive_programs(program)
    if method == "double_sum":
        return DoubleSumModule(closed_programs(programs), style)
    if isinstance(estimator, Full):
        return Module(programs, style)
    if gated(estimator):
        return GatedModule(gated_programs(program), style, estimator)
    return TruncatedModule(truncated_programs(programs), style, estimator)


def derive_programs(program: Program) -> Programs:
    """The programs of a kernel, gates fused."""
    forward = fuse(program)
    derived = (forward, adjoint(forward), cotangent_adjoint(forward), tangent(forward))
    return Programs(program, *map(hoist, derived))


def gated_programs(program: Program) -> Programs:
    """The same with a gate ξ on the Jacobian of every step."""
    forward = fuse(program)
    derived = (forward, gated_adjoint(forward), cotangent_adjoint(forward, gated=True), tangent(forward))
    return Programs(program, *map(hoist, derived))


def load(source: str, filename: str) -> dict[str, Any]:
    """Run generated source and return its namespace: the one place where text becomes code.

    The source is the output of ``module``, never a user's text. Lines are registered, so that
    tracebacks show them.
    """
    code = compile(source, filename, "exec")
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {"__name__": "bptt_verify.generated"}
    exec(code, namespace)
    return namespace
