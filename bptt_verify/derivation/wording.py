"""The words of a derivation between its formulas."""

STEP = (
    "As written, for steps t = 1 … T, from a given initial state; ⊙ multiplies entry by entry. The loss "
    "of step t of sequence b has the weight ω, by default one over the number of steps and sequences, so "
    "that L is the mean; a weight of zero masks a step."
)
CHANGES = (
    "Let the parameters, the inputs and the previous state change; a dot marks the change of a value to "
    "first order (its differential). Every line of the step gives one line:"
)
LOCAL = (
    "Substituted into each other, they give the change of the new state. The coefficient of the change of"
    " the previous state is the Jacobian J of the step, that of the change of a parameter is the "
    "immediate partial A. The sign ∂⁺ says that earlier steps are held fixed. An index in brackets bears "
    "the name of its size, with primes where one size occurs twice; δ is 1 where its two indices are "
    "equal, else 0."
)
READING = (
    "From here on, for one sequence: w is one parameter, its p entries in a column, and A_t has n rows "
    "and p columns. The total derivative ∂h_t/∂w also counts how w acts on earlier steps; A_t counts only"
    " step t. A product of Jacobians is ordered, the newest on the left, and is the identity 1 if it has "
    "no factor."
)
ADJOINT = (
    "The same sum, gathered the other way: forward mode carries the n × p matrix ∂h_t/∂w from step to "
    "step, backward mode carries one vector. The adjoint λ_t is the derivative of L by the state h_t, as "
    "a column; L_t is the weighted loss of step t, and c_t is what the losses say of h_t directly, not "
    "through later states."
)
DIRECT = (
    "The derivatives of the weighted loss of step t by the states, every other state held fixed; c_t is "
    "that by the new state plus the next step's by its previous one (none after the last step)."
)
BARS = "A value with a bar is the derivative of L by that value, as a column."
GENERAL_NAMES = "In the theorems the recurrent matrix is called W_hh and the output matrix W_qh:"
NO_POWERS = (
    "The recursion of T2 gives the same adjoint with one product of a matrix and a vector per step, and "
    "forms no power. It cures neither growth nor decay: that is T4."
)
GROWTH = (
    "The norm is the spectral norm (the largest singular value). If ρ < 1, the influence of step i on "
    "step t decays at least like its power t - i: the gradient vanishes. If ρ > 1, the bound permits "
    "growth but does not force it; along an eigenvector of a constant Jacobian growth or decay is exact "
    "(T4d): the gradient explodes if its eigenvalue is larger than 1 in size."
)
MEASURE = "The bound is seldom tight."

# How something is known.
BY_RULES = "for every T and all sizes, by the rules of the proof kernel"
BY_RUNG_3 = "by certify, rung 3: exactly, against SymPy's index notation, at the sizes its certificate lists"
BY_RUNG_1 = "by certify, rung 1: one step exactly, at the sizes its certificate lists; T2 does the rest"
BY_RUNGS = "by certify, rungs 5 to 8: numerically, at the listed points, with stated tolerances"
WHERE = (
    " The adjoint λ of the theorem stacks, for each state, its direct part and what the next step "
    "sends back: "
)
LAGS = "lag_profile measures them, and every term of the sum, on given arrays."

# Truncated and random gradients.
WINDOW = (
    "Window(τ) keeps the terms of the gradient sum with t - i < τ; Ĝ_t is what is left of ∂h_t/∂w. The "
    "explicit parts, which pass through no state, are kept."
)
GATES = (
    "With a gate ξ_t on the Jacobian of every step, the recursion is λ_t = c_t + ξ_{t+1} J_{t+1}ᵀ λ_{t+1}. "
    "Full() is ξ = 1; Chunks(k, k), which detaches the state that is carried into a chunk, has ξ_t = 0 at "
    "the first steps of all chunks but the first. One gate acts on all states together."
)
GATED = "For this recurrence, from the last step to the first:"
RANDOM = (
    "Randomized(π) draws the gates of T6 independently: 1/π_t with probability π_t, otherwise 0, so that "
    "their mean is 1. The recursion ends wherever a gate is 0, and is right on average:"
)
VARIANCE = (
    "With one gate for all steps it would not be (T7g). The variance is exact too (T7n): expectation "
    "computes both on given arrays, optimal_schedule the π_t of least variance at a given cost."
)
BY_TRUNCATED = "by check_truncated: numerically, at the listed points, with stated tolerances"
BY_UNBIASED = "by check_unbiased: over all outcomes of the gates at the listed points"

# Clipping, and how far a step changes the loss.
CLIP = (
    "Clipping replaces a gradient g by clip_θ(g) = min(1, θ/‖g‖) g, with one norm over everything that is "
    "clipped: for this recurrence,"
)
CHANGE = (
    "A clipped step moves the parameters by at most η θ. If the loss is Lipschitz with a constant K where "
    "the step goes, it changes by no more than K η min(‖g‖, θ):"
)
BOUND = (
    "There is seldom a K for all parameters. On a ball ‖w - w⁰‖ ≤ r of all of them together, any bound "
    "of the gradient's norm is one, and r = η θ suffices for a clipped step. Norms compose:"
)
OWN_BOUND = (
    "For this recurrence, from the adjoint equations above, one after the other: a norm is Euclidean and the "
    "largest of all steps and sequences, ‖W‖₂ is the spectral norm, ‖W‖∞ the largest entry, ‖weights‖₁ the "
    "sum over all steps; T steps, B sequences. lipschitz_bound evaluates it, and bounds the same by data, "
    "which is much tighter."
)
UNBOUNDED = "By norms there is no finite bound:"
BY_CLIP = "by check_clip: at random gradients, and in the corners of floating point"
BY_UPDATE = "by check_clipped_update: along own, random and adversarial gradients"
BY_SEARCH = "by tests/properties/test_t10_bound.py: random and adversarial points of the ball"

# What is fed back.
FEEDBACK = (
    "This recurrence reads what the step before left for it, besides its state. In the claims above what is "
    "fed counts as one more state, so that J_t, A_t and λ_t have a part for it:"
)
FED_BY = {
    "free": "the own output, the function of it that is fed, or a given sample",
    "teacher": "the target of the step before, whatever the output was",
    "scheduled": "the target where the mask is 1, the own output where it is 0",
}
FED = {
    "free": "u_t is what step t - 1 made to be fed: J_t and λ_t go through it, as far as it depends on them",
    "teacher": "u_t is the target of step t - 1: du_t/dw = 0, and nothing goes back through it",
    "scheduled": "du_t/dw = (1 - m_t) times that of the own output; m_1 is without effect",
}
FED_WORDS = {
    "free": "Free running, the path through what is fed is part of the Jacobian (a given sample has none):",
    "teacher": "A target does not depend on the parameters, so the path through the output is not there:",
    "scheduled": "The path is there where the mask is 0; the mask m is given, and so has no derivative:",
}
EXPOSURE = (
    "The detached gradient g_det holds all that is fed constant, along the same trajectory. What it leaves "
    "out are the paths through what was fed, one for each step; a teacher-forced gradient differs from it "
    "besides, since its forward values are others. exposure_terms evaluates both parts."
)
NOTHING_FED = "Nothing is fed back: the recurrence has no Feedback."
NO_OUTPUT_FED = "Under teacher forcing no output is fed: there are no feedback paths (T11)."
BY_EXPOSURE = "by tests/unit/test_exposure.py: the parts add up to gradients that are computed apart"
