"""The claims about what is fed, T11 and T12: which theorems each consists of."""

from __future__ import annotations

from bptt_verify.proof.claims import detached, feedback, feeds, forcing, once
from bptt_verify.proof.claims.letters import s
from bptt_verify.proof.claims.parts import GeneralClaim, claim

CLAIMS: tuple[GeneralClaim, ...] = (
    claim(
        "T11",
        "Teacher forcing",
        ("The chain rule of one step", feedback.state_rate),
        ("The first value that is fed is given", feedback.first_fed),
        ("What is fed depends on the parameters by the share of the own output", feedback.fed_rate),
        ("The recursion for the adjoint of the state", feedback.state_adjoint),
        ("The last value is fed to no step", feedback.last_fed_adjoint),
        ("The recursion for the adjoint of what is fed", feedback.fed_adjoint),
        ("What an adjoint of the state says, by its recursion", feedback.by_states),
        ("What an adjoint of what is fed says, by its recursion", feedback.by_fed),
        ("Forward mode and backward mode agree, for any mask", feedback.gradient),
        ("The gradient of a parameter, explicit parts included", feedback.loss_gradient),
        (
            "What one step alone reads, not the last",
            once.one_step,
            feeds.one_step,
            ((s, feeds.STEP),),
        ),
        ("The gradient of the initial state", once.initial_state, feeds.initial_state),
        ("The gradient of the first value that is fed", once.first_fed_gradient, feeds.first_fed),
        ("The mask of the first step is without effect", once.first_mask, feeds.same_mask),
        ("Without effect on the adjoint either", once.first_mask_backwards, feeds.same_mask),
        ("With teacher forcing, what is fed depends on nothing", forcing.teacher_fed, feeds.teacher),
        ("The path through the output vanishes", forcing.teacher_rate, feeds.teacher),
        ("It vanishes from the adjoint", forcing.teacher_adjoint, feeds.teacher),
        ("The gradient with teacher forcing", forcing.teacher_gradient, feeds.teacher),
        (
            "No other recurrence: each step depends on the parameters alone",
            forcing.decoupled_rate,
            feeds.decoupled,
        ),
        ("Each adjoint is its direct part", forcing.decoupled_adjoint, feeds.decoupled),
        ("The gradient is a sum over the steps, each alone", forcing.decoupled_gradient, feeds.decoupled),
        ("Free running, the own output is fed", forcing.free_fed, feeds.free),
        (
            "If the output is a function of the state: one Jacobian",
            forcing.ordinary_rate,
            feeds.by_state,
        ),
        ("It is an ordinary recurrence", forcing.ordinary, feeds.by_state),
        ("Its closed form", forcing.unrolled, feeds.by_state),
        (
            "The adjoint of what is fed, if only the state reads it",
            forcing.ordinary_fed_adjoint,
            feeds.unread,
        ),
        ("The adjoint of the state, by that Jacobian", forcing.ordinary_adjoint, feeds.unread),
    ),
    claim(
        "T12",
        "Feedback paths",
        ("The detached gradient, and the paths through what is fed", detached.paths),
        ("The same, free running", detached.free_paths, feeds.free),
        (
            "The same if only the state reads what is fed",
            detached.ordinary_paths,
            feeds.free_unread,
        ),
        ("The same in the other order: detached behind a path, not before it", detached.other_order),
        ("Free running against teacher forcing", detached.exposure, feeds.free),
        ("What the change of trajectory does", detached.trajectories),
        ("Without one, the sensitivities are alike", detached.same_rates, feeds.no_exposure),
        ("Without one, the paths are the whole difference", detached.no_exposure, feeds.no_exposure),
    ),
)
