"""Functions with the numbers of an adjoint program, as a user would hand them in."""

from bptt_verify.program import evaluate


def function_of(program, given=dict, returned=dict):
    """A user's function with the numbers of an adjoint program, at other arrays than it is sent."""

    def loss_and_grad(**arrays):
        values = evaluate(program, given(arrays))
        results = {k: values[v] for k, v in program.results}
        return results.pop("loss"), returned(results)

    return loss_and_grad
