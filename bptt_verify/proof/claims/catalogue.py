"""The claims in order: which theorems each consists of."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from bptt_verify.proof.claims import (
    adjoint_form,
    ball,
    change,
    chunks,
    clip,
    columns,
    examples,
    fed,
    gains,
    gates,
    kink,
    linear,
    magnitude,
    randomized,
    unrolled,
    variance,
    walks,
    windows,
)
from bptt_verify.proof.claims.letters import T, i, s, t
from bptt_verify.proof.claims.parts import GeneralClaim, claim
from bptt_verify.proof.evaluation import euclidean
from bptt_verify.proof.kernel import Theorem

CLAIMS: Mapping[str, GeneralClaim] = {
    c.id: c
    for c in (
        claim(
            "T1",
            "Unrolled gradient",
            ("The closed form of the sensitivity", unrolled.unrolled),
            ("The immediate partial of step t as the last term of the sum", unrolled.unrolled_whole),
            ("The sensitivity to the initial state is the product of all Jacobians", unrolled.initial_state),
        ),
        claim(
            "T2",
            "Adjoint form",
            ("The closed form of the adjoint", adjoint_form.closed_form),
            ("The influence of a state on all later losses", adjoint_form.gathered),
            ("Exchanging the two sums: forward mode and backward mode agree", adjoint_form.gradient),
            ("The same for the initial state", adjoint_form.initial_gradient),
            ("Losses that read the new and the previous state", adjoint_form.states_gradient),
            ("The gradient of a parameter, explicit parts included", adjoint_form.loss_gradient),
            ("The gradient of the initial state", adjoint_form.loss_initial_gradient),
            (
                "The gradient of an input of one step",
                adjoint_form.one_step,
                examples.one_step,
                ((t, 2),),
            ),
        ),
        claim(
            "T3",
            "Linear RNN",
            ("The adjoint of the last step", linear.last_step),
            ("The recursion for the adjoint", linear.recursion),
            ("The adjoint by powers of the recurrent matrix", linear.powers),
            ("The gradient of a sum by a matrix in it", linear.gradient_of_matrix),
            ("The gradient of the output matrix", linear.readout_matrix),
            ("The gradient of the input matrix", linear.input_matrix),
            ("The gradient of the recurrent matrix", linear.recurrent_matrix),
            ("The adjoint where every Jacobian is one matrix", linear.constant_jacobian),
        ),
        claim(
            "T4",
            "Vanishing and exploding",
            ("Products of Jacobians are bounded by powers", magnitude.bound, examples.bounded),
            ("A bound on each term of the gradient", magnitude.term_bound, examples.bounded),
            (
                "The bound where functions act elementwise",
                magnitude.elementwise_bound,
                examples.bounded,
            ),
            (
                "An eigenvector is scaled by a power of its eigenvalue",
                magnitude.eigenvector,
                examples.eigenpair,
            ),
        ),
        claim(
            "T5",
            "Window",
            ("The closed form of the sensitivity, from the start on", windows.sensitivity),
            ("A product of Jacobians in two pieces", windows.joined),
            ("Within the first τ steps the window sees everything", windows.covered),
            ("What the window leaves out of the sensitivity", windows.sensitivity_error),
            ("The window stops the chain τ steps back", windows.stopped),
            ("The error of the gradient is exactly the tail", windows.gradient_error),
            ("A window of T steps or more leaves nothing out", windows.whole),
            ("A bound on the tail", windows.tail_bound, examples.bounded),
            ("The sum of powers in the bound", windows.geometric),
            ("The influence of a step on the losses in its window", windows.cut_gathered),
            ("The same for the last steps, whose window goes beyond T", windows.last_gathered),
            ("The gradient of the window, step by step backwards", windows.adjoint_of_window),
            ("The gradient of the initial state", windows.initial_window),
        ),
        claim(
            "T6",
            "Chunks and gates",
            ("The closed form of the gated adjoint", gates.gated_adjoint),
            ("The closed form of the gated sensitivity", gates.gated_forward),
            ("The influence of a state on all later losses, through the gates", gates.gated_gathered),
            ("Forward mode and backward mode with the same gates", gates.gated_gradient),
            ("The gated sensitivity to the initial state", gates.gated_initial),
            ("The first gate gates the gradient of the initial state", gates.gated_initial_gradient),
            ("The exact error of a gated gradient", gates.gradient_of_gates),
            ("No term passes a closed gate", gates.closed_gate, examples.shut, ((s, 2),)),
            (
                "Between closed gates, the adjoint of the chunk alone",
                chunks.chunk,
                examples.open_between,
                ((chunks.a, 1), (chunks.b, 3)),
            ),
            ("The same in the last chunk", chunks.last_chunk, examples.open_after, ((chunks.a, 1),)),
            ("With all gates open, the full adjoint", chunks.all_open, examples.open_after),
            ("A chunk run back, within it", chunks.in_chunk),
            ("A chunk run back, before it", chunks.before_chunk),
            ("The gradient of a chunk that is run back further than it reaches", chunks.chunk_gradient),
            ("The gradient of the initial state by a chunk that is run back to it", chunks.chunk_initial),
        ),
        claim(
            "T7",
            "Randomized truncation",
            ("One random step from the exact derivative", randomized.one_step, examples.random_gates),
            ("The recursion with a random gate at every step", randomized.recursive, examples.random_gates),
            ("The gradient in forward mode", randomized.forward_gradient, examples.random_gates),
            ("The gated adjoint", randomized.adjoint, examples.random_gates),
            ("The gradient in backward mode", randomized.backward_gradient, examples.random_gates),
            ("The gradient of the initial state", randomized.initial_gradient, examples.random_gates),
            ("One gate for all steps is biased", randomized.shared_gate, examples.random_gates),
            ("The second moment of the sensitivity", variance.second_moment, examples.random_gates),
            ("The second moment of the gated adjoint", variance.adjoint_moment, examples.random_gates),
            ("The covariance of the gated adjoint", variance.adjoint_covariance, examples.random_gates),
            (
                "The second moment of the gradient of the initial state",
                variance.initial_moment,
                examples.random_gates,
            ),
            ("The error of a random gradient, for every outcome", variance.error, examples.random_gates),
            ("The second moment of the error, from step t on", variance.spread, examples.random_gates),
            ("The covariance of the gradient", variance.covariance, examples.random_gates),
        ),
        claim(
            "T8",
            "Clipping",
            (
                "An inner product is at most the product of the norms, in squares",
                columns.lagrange,
            ),
            ("The same for the norms", columns.cauchy_schwarz, examples.whole_norms, (), euclidean),
            ("The factor is within θ/‖g‖", clip.quotient_within, examples.clipped),
            ("The factor is 1 or θ/‖g‖", clip.quotient_either, examples.clipped),
            ("Zero is left alone", clip.of_zero, examples.clipped_zero),
            ("The clip is a multiple of the gradient, and so is its norm", clip.norm),
            ("The norm of the clip is at most the threshold", clip.at_most_threshold, examples.clipped),
            ("It is at most the norm of the gradient", clip.at_most_norm, examples.clipped),
            ("It is one of the two, and so the smaller one", clip.one_of_both, examples.clipped),
            (
                "From the clip, no point of the ball lies in the direction of the gradient",
                clip.variational,
                examples.clipped_euclidean,
                (),
                euclidean,
            ),
            (
                "The clip is the nearest point of the ball, in squares",
                clip.projection,
                examples.clipped_euclidean,
                (),
                euclidean,
            ),
            (
                "The clip of one gradient as the point for another",
                clip.of_two_clips,
                examples.clipped_euclidean,
                (),
                euclidean,
            ),
            (
                "Two clips are no further apart than their gradients, in squares",
                clip.nonexpansive,
                examples.clipped_euclidean,
                (),
                euclidean,
            ),
            (
                "The clip is the nearest point of the ball: the projection",
                clip.nearest,
                examples.clipped_on_line,
                (),
                euclidean,
            ),
            (
                "Two clips are no further apart than their gradients",
                clip.no_further_apart,
                examples.clipped_on_line,
                (),
                euclidean,
            ),
            (
                "Where the norm is the threshold, a smaller multiple is left alone",
                kink.inside,
                examples.within_threshold,
            ),
            ("A larger multiple is clipped back", kink.outside, examples.beyond_threshold),
            ("Parts that are clipped one by one, in squares", kink.parts_squared, examples.four_parts),
            (
                "Parts that are clipped one by one",
                kink.parts,
                examples.four_parts,
                ((kink.P, 4),),
            ),
        ),
        claim(
            "T9",
            "Bounded change",
            ("A raw step", change.raw, examples.raw_steps),
            ("A clipped step", change.clipped_norm, examples.clipped_steps),
            (
                "It changes no more than the raw step may",
                change.clipped_raw,
                examples.clipped_steps,
            ),
            ("And no more than the threshold allows", change.clipped, examples.clipped_steps),
            ("As a raw step with a smaller learning rate", change.as_rate, examples.clipped_steps),
            ("The one learning rate with the same guarantee", change.equivalent_rate, examples.one_norm),
            ("The change over T clipped steps", change.many_steps, examples.clipped_steps),
            (
                "The least number of steps for an improvement",
                change.least_steps,
                examples.clipped_steps,
                ((T, examples.MANY),),
            ),
            ("A clipped step on a smooth objective", change.descent, examples.smooth_steps, (), euclidean),
            ("The same, simpler", change.simpler_descent, examples.smooth_steps, (), euclidean),
            (
                "A short step makes nothing worse",
                change.decrease,
                examples.smooth_steps,
                (),
                euclidean,
            ),
        ),
        claim(
            "T10",
            "Local Lipschitz bound",
            ("The square of an absolute value", ball.absolute_square),
            ("The mean value inequality, by a gradient between", ball.mean_value, walks.line, (), euclidean),
            ("A segment, piece by piece", ball.piece_by_piece, walks.pieces),
            ("The whole segment", ball.pieces, walks.pieces, ((T, walks.PIECES),)),
            ("A segment between two points of the ball stays in it", ball.within, walks.in_ball),
            ("No block moves further than the whole", ball.block_in_ball, walks.blocks, ((ball.P, 4),)),
            (
                "The norm in the ball is at most that of the centre and the radius",
                ball.enlarged,
                walks.in_ball,
            ),
            ("Bounds of the blocks, together", ball.blocks, walks.blocks, ((ball.P, 4),)),
            ("How far a product moves", ball.of_products),
            ("A gain at every step", gains.repeated, walks.scalar),
            ("The sum of geometric terms, one step further", gains.next_powers),
            ("The same in total over the steps", gains.in_total, walks.driven),
            ("A state that stays in an interval", gains.stays, walks.convex),
            ("Several states: a matrix of gains", gains.among, walks.gains, ((i, 1), (gains.m, 2))),
            ("The closed form of the geometric sum", gains.closed),
            ("Its value at ρ = 1", gains.at_one),
            ("Its limit at ρ = 1", gains.near_one),
            ("A sensitivity by the norms of products of Jacobians", gains.chain),
            ("A gradient by a bound of every Jacobian", gains.gradient, examples.bounded),
        ),
        *fed.CLAIMS,
    )
}


@cache
def labels(part: str) -> Mapping[Theorem, str]:
    """The label of every theorem that the proof of a part cites: of its own claim and of those before it.

    The part is proved first, and with it all that its proof cites; nothing else is proved here.
    """
    for own in (p for one in CLAIMS.values() for p in one.parts if p.label == part):
        own.prove()
    found: dict[Theorem, str] = {}
    for one in CLAIMS.values():
        found |= {p.theorem: p.label for p in one.parts if p.proved}
        if part in found.values():
            break
    return found
