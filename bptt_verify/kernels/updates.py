"""``clip_by_norm`` and ``clipped_update``: the generated functions, with the errors of this library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bptt_verify.kernels import clipping
from bptt_verify.kernels.translation import update_errors


def clip_by_norm(grads: Mapping[str, Any], threshold: float) -> dict[str, Any]:
    """Clip a gradient by one norm over all its arrays: min(1, θ/‖g‖) g, and 0 at g = 0 (claim T8).

    Parameters
    ----------
    grads : dict of arrays
        float32 or float64, any shapes; every entry counts and is clipped. Never modified.
    threshold : float
        θ > 0; inf leaves the gradient as it is.

    Returns
    -------
    dict of arrays
        New arrays, also where nothing is clipped, each in the dtype of the given one. The norm is at most
        θ (1 + 4 eps), with the eps of the coarsest dtype, unless numbers are subnormal.

    Raises
    ------
    UsageError
        If the threshold is not a positive number.
    ArrayError
        If ``grads`` is no dict, an entry is inf or NaN, or an array is not of float32 or float64.
    """
    with update_errors():
        return clipping.clip_by_norm(grads, threshold)


def clipped_update(
    params: Mapping[str, Any],
    grads: Mapping[str, Any],
    *,
    step_size: float,
    threshold: float,
    inplace: bool = False,
) -> dict[str, Any]:
    """One step with the clipped gradient: w ← w - η clip_θ(g) (claim T9).

    Parameters
    ----------
    params : dict of arrays
        float32 or float64.
    grads : dict of arrays
        An array of the same shape for each parameter. Other entries, such as a kernel's gradients of inputs
        and of initial states, are not used: neither clipped nor counted.
    step_size : float
        η > 0, finite.
    threshold : float
        θ > 0; inf for no clip.
    inplace : bool
        Write the new values into the arrays of ``params``. An error leaves them as they were.

    Returns
    -------
    dict of arrays
        The new parameters, each in the dtype of the old one; new arrays, or those of ``params`` if in place.

    Raises
    ------
    UsageError
        If θ or η is not a positive number.
    ArrayError
        If a gradient is missing, not finite or of another shape, an array is not of float32 or float64, or
        cannot be written in place.
    """
    with update_errors():
        return clipping.clipped_update(
            params, grads, step_size=step_size, threshold=threshold, inplace=inplace
        )
