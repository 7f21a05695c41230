"""The known mistakes, as transformations of an adjoint Program.

Each rule looks for the places where people make one mistake and yields one wrong Program per place.
A rule knows nothing of a cell; whether a mutant changes any number is found out by running it.
"""

from __future__ import annotations

from functools import lru_cache

from bptt_verify.mutants import carrying, factors, feedback, paths, results, slips, sums, wide
from bptt_verify.mutants.mutant import Mutant, Rule
from bptt_verify.program import Program

RULES: tuple[Rule, ...] = (
    feedback.missing_feedback,
    paths.detached_state,
    factors.missing_transpose,
    factors.wrong_step,
    factors.wrong_slope,
    paths.dropped_term,
    factors.wrong_scale,
    paths.no_initial_state,
    paths.ignored_initial_state,
    factors.gate_order,
    sums.lost_steps,
    results.no_result,
    results.turned_result,
    results.exchanged_results,
    feedback.leaked_target,
)


RARE: tuple[Rule, ...] = (
    slips.other_slope,
    slips.other_slope_everywhere,
    carrying.earlier_adjoint,
    carrying.late_carry,
    carrying.wrong_direction,
    carrying.overwritten_state,
    slips.slip,
    slips.other_weight,
    slips.turned_gate,
    carrying.wrapped_index,
    carrying.part_of_a_product,
    wide.every_step_off,
    wide.other_state,
    wide.exchanged_adjoints,
    wide.earlier_everywhere,
    wide.carried_without_slopes,
    wide.lost_parameter,
    wide.one_value_kept,
    wide.other_input,
    results.unfinished_initial,
    results.copied_result,
    paths.dropped_terms,
    carrying.carried_only,
    results.one_sum,
)


@lru_cache(maxsize=8)
def mutants(adjoint: Program, rare: bool = False) -> tuple[Mutant, ...]:
    """Every known mistake at every place of this adjoint program where it can be made.

    Parameters
    ----------
    adjoint : Program
    rare : bool
        Also the slips of the pen, which are many: to name a mistake, not to measure a check.
    """
    rules = RULES + RARE if rare else RULES
    return tuple(m for rule in rules for m in rule(adjoint))
