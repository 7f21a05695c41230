"""The texts of the clip and of its derivative: by one norm, array by array, element by element."""

from __future__ import annotations

BY_NORM = '''
def <function>(grads: Mapping[str, Any], threshold: float) -> dict[str, Any]:
    """Clip a gradient by one norm over all its arrays.

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
    ValueError
        If the threshold is not positive, or an entry is inf or NaN.
    TypeError
        If ``grads`` is no dict, or an array not of float32 or float64.
    """
    threshold = _positive(threshold, "threshold")
    return _clipped(_finite(_arrays(grads, "grads")), threshold)


def clip_derivative(
    grads: Mapping[str, Any], threshold: float, directions: Mapping[str, Any]
) -> dict[str, Any]:
    """The derivative of the clip along directions v: a symmetric matrix, so both jvp and vjp.

    Parameters
    ----------
    grads : dict of arrays
        Where it is taken.
    threshold : float
        θ > 0.
    directions : dict of arrays
        An array for each entry of ``grads``.

    Returns
    -------
    dict of arrays
        New arrays, each in the dtype of its gradient.

    Raises
    ------
    ValueError
        If the norm is the threshold to 8 eps: there is no derivative. Also as ``<function>``.
    TypeError
        As ``<function>``.
    """
    threshold = _positive(threshold, "threshold")
    arrays, along = _finite(_arrays(grads, "grads")), _arrays(directions, "directions")
    _alike(arrays, along, "directions")
    return _turned(arrays, threshold, along)

'''

BY_ARRAY = (
    BY_NORM.replace(
        'return _clipped(_finite(_arrays(grads, "grads")), threshold)',
        'arrays = _finite(_arrays(grads, "grads"))\n'
        "    parts = [_clipped({name: a}, threshold) for name, a in arrays.items()]\n"
        "    return {name: array for part in parts for name, array in part.items()}",
    )
    .replace(
        "return _turned(arrays, threshold, along)",
        "parts = [_turned({name: a}, threshold, along) for name, a in arrays.items()]\n"
        "    return {name: array for part in parts for name, array in part.items()}",
    )
    .replace(
        "Clip a gradient by one norm over all its arrays.", "Clip every array of a gradient by its own norm."
    )
    .replace("every entry counts and is clipped", "every entry is clipped")
    .replace("The norm is at most\n        θ", "The norm of each is at most\n        θ")
    .replace("with the eps of the coarsest dtype", "with the eps of its dtype")
    .replace("If the norm is the threshold", "If the norm of an array is the threshold")
)

BY_ELEMENT = '''
def <function>(grads: Mapping[str, Any], threshold: float) -> dict[str, Any]:
    """Clamp every element of a gradient to the range from -θ to θ; this changes its direction.

    Parameters
    ----------
    grads : dict of arrays
        float32 or float64, any shapes. Never modified.
    threshold : float
        θ > 0; inf leaves the gradient as it is.

    Returns
    -------
    dict of arrays
        New arrays, also where nothing is clipped, each in the dtype of the given one.

    Raises
    ------
    ValueError
        If the threshold is not positive, or an entry is inf or NaN.
    TypeError
        If ``grads`` is no dict, or an array not of float32 or float64.
    """
    threshold = _positive(threshold, "threshold")
    arrays = _finite(_arrays(grads, "grads"))
    wide = {name: np.asarray(array, float) for name, array in arrays.items()}
    return {k: np.asarray(np.clip(a, -threshold, threshold)).astype(arrays[k].dtype) for k, a in wide.items()}


def clip_derivative(
    grads: Mapping[str, Any], threshold: float, directions: Mapping[str, Any]
) -> dict[str, Any]:
    """The derivative of the clip along directions v: a diagonal matrix, so both jvp and vjp.

    Parameters
    ----------
    grads : dict of arrays
        Where it is taken.
    threshold : float
        θ > 0.
    directions : dict of arrays
        An array for each entry of ``grads``.

    Returns
    -------
    dict of arrays
        New arrays, each in the dtype of its gradient.

    Raises
    ------
    ValueError
        If an element is ±θ to 8 eps: there is no derivative. Also as ``<function>``.
    TypeError
        As ``<function>``.
    """
    threshold = _positive(threshold, "threshold")
    arrays, along = _finite(_arrays(grads, "grads")), _arrays(directions, "directions")
    _alike(arrays, along, "directions")
    turned = {}
    for name, array in arrays.items():
        size, eps = np.abs(np.asarray(array, float)), np.finfo(array.dtype).eps
        if threshold < np.inf and np.any(np.abs(size - threshold) <= 8 * eps * threshold):
            raise ValueError(
                f"grads[{name!r}]: an element is the threshold {threshold:.17g} to rounding; expected it to "
                "differ. The clip has no derivative there: move the threshold a little."
            )
        turned[name] = np.asarray(np.where(size < threshold, along[name], 0)).astype(array.dtype)
    return turned

'''
