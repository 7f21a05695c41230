"""Declaring what is fed back: what it means, and every wrong way to do it."""

import pytest

import bptt_verify as bv
from bptt_verify.errors import NameRefusedError, RecurrenceError, SizeError, UsageError
from bptt_verify.language import (
    Feedback,
    Input,
    Param,
    State,
    Step,
    Target,
    recurrence,
    softmax,
    squared_error,
    tanh,
    teacher,
    with_feedback,
)
from bptt_verify.program import listing


def test_a_feedback_is_neither_a_state_nor_an_input():
    rec = bv.cells.elman_feedback
    assert rec.feedback == {"u": ("q",)} and rec.states == {"h": ("n",)}
    assert rec.carried == {"h": ("n",), "u": ("q",)} and rec.initial == ("h0", "u0")
    assert bv.cells.jordan.states == {} and bv.cells.elman.feedback == {}
    assert "u: feedback q" in repr(rec) and repr(rec).endswith("free>")
    assert repr(with_feedback(rec, "teacher")).endswith("teacher>")


def test_the_output_is_fed_if_nothing_else_is():
    text = listing(bv.cells.jordan.program)
    assert "carry o shift -1 from u0" in text
    teacher_text = listing(with_feedback(bv.cells.jordan, "teacher").program)
    assert "Pointwise u_next[T, B, q] of (y[T,B,q])" in teacher_text and "carry u_next" in teacher_text


def test_a_function_of_the_output_is_for_the_output_only():
    @recurrence
    def cell(y=Target("q"), u=Feedback("q"), W=Param("q q")):
        o = W @ u
        return Step(u=softmax(o), output=o, loss=squared_error(o, y))

    assert "exp" in listing(cell.program)
    assert "exp" not in listing(with_feedback(cell, "teacher").program)


def test_an_output_without_a_name_is_fed():
    @recurrence
    def cell(x=Input("q"), u=Feedback("q"), W=Param("q q")):
        return Step(output=tanh(W @ u + x), loss=bv.sum(x * u))

    assert "carry o shift -1 from u0" in listing(cell.program)


def test_a_recurrence_needs_no_output_if_it_says_what_is_fed():
    @recurrence
    def cell(x=Input("q"), u=Feedback("q"), W=Param("q q")):
        v = tanh(W @ u + x)
        return Step(u=v, loss=bv.dot(v, v))

    assert cell.feedback == {"u": ("q",)}


def test_a_target_is_chosen_by_its_sizes_or_by_name():
    @recurrence
    def cell(y=Target("q"), z=Target("q"), u=Feedback("q", target="z"), W=Param("q q")):
        o = W @ u
        return Step(output=o, loss=squared_error(o, y) + squared_error(o, z))

    assert teacher("u", cell.declarations) == "z"
    assert teacher("u", bv.cells.jordan.declarations) == "y"


def build(feedback="Feedback('q')", extra="", output="o", step="", body="o = W @ u + x"):
    """A cell with some parts written otherwise."""
    text = (
        f"@recurrence\ndef cell(x=Input('q'), y=Target('q'), u={feedback}, W=Param('q q'){extra}):\n"
        f"    {body}\n"
        f"    return Step({step}output={output}, loss=squared_error(o, y))\n"
    )
    scope = {n: getattr(bv.language, n) for n in bv.language.__all__}
    exec(text, scope)
    return scope["cell"]


def test_the_cell_that_is_written_otherwise_is_right():
    assert build().feedback == {"u": ("q",)}


@pytest.mark.parametrize(
    ("error", "how", "words"),
    [
        (RecurrenceError, {"step": "u=y, "}, ["fed back as 'u'", "feedback='teacher'", "y_{t-1}"]),
        (RecurrenceError, {"output": "o + y"}, ["fed back as 'u'", "target 'y'", "function of the output"]),
        (RecurrenceError, {"output": "None"}, ["Feedback 'u'", "no output", "Step(output="]),
        (RecurrenceError, {"step": "u=3.0, "}, ["Feedback 'u'", "3.0"]),
        (RecurrenceError, {"feedback": "Feedback('q', target='x')"}, ["target='x'", "[q]", "y has"]),
        (RecurrenceError, {"feedback": "Feedback('q', target=3)"}, ["target=3", "name of a Target"]),
        (RecurrenceError, {"body": "o = W @ x"}, ["Feedback 'u'", "never used"]),
        (RecurrenceError, {"step": "v=o, "}, ["'v'", "expected one of u"]),
        (RecurrenceError,
         {"feedback": "Feedback('p')", "body": "o = W @ x + V @ u", "extra": ", V=Param('q p')"},
         ["Feedback 'u'", "o [q]", "[p]", "Step(u=…)"]),
        (NameRefusedError, {"extra": ", u0=Param('q')"}, ["u0", "initial value of the feedback 'u'"]),
        (SizeError, {"feedback": "Feedback(3)"}, ["sizes=3"]),
        (SizeError, {"feedback": "Feedback('T')"}, ["'T'", "always"]),
    ],
)  # fmt: skip
def test_a_wrong_feedback_is_refused(error, how, words):
    with pytest.raises(error) as caught:
        build(**how)
    assert all(w in str(caught.value) for w in words), caught.value


def test_a_target_in_the_state_is_refused_and_told_of_feedback():
    with pytest.raises(RecurrenceError) as caught:

        @recurrence
        def cell(x=Input("q"), y=Target("q"), h=State("q"), W=Param("q q")):
            h = tanh(W @ h + x + y)
            return Step(h=h, output=h, loss=squared_error(h, y))

    words = ["target 'y' of the same step", "u=Feedback('q')", "y_{t-1}", "declare it as an Input"]
    assert all(w in str(caught.value) for w in words), caught.value


def test_nothing_that_recurs_is_refused():
    with pytest.raises(RecurrenceError, match=r"no State \(and no Feedback\) is declared"):

        @recurrence
        def cell(x=Input("q"), W=Param("q q")):
            return Step(output=W @ x, loss=bv.sum(x))


@pytest.mark.parametrize("mode", ["teacher", "scheduled"])
def test_targets_cannot_be_fed_where_it_is_not_clear_which(mode):
    @recurrence
    def two(y=Target("q"), z=Target("q"), u=Feedback("q"), W=Param("q q")):
        o = W @ u
        return Step(output=o, loss=squared_error(o, y) + squared_error(o, z))

    @recurrence
    def none(x=Input("q"), u=Feedback("q"), W=Param("q q")):
        o = W @ u + x
        return Step(output=o, loss=bv.dot(o, o))

    with pytest.raises(RecurrenceError, match=r"2 targets have its sizes \[q\] \(y, z\).*target="):
        with_feedback(two, mode)
    with pytest.raises(RecurrenceError, match=r"0 targets have its sizes.*Only feedback='free'"):
        bv.generate(none, feedback=mode)
    assert bv.generate(two).recurrence is two  # running freely needs no target


@pytest.mark.parametrize("mode", ["teacher", "scheduled"])
def test_a_mode_without_a_feedback_is_refused(mode):
    for call in (bv.generate, bv.derive, bv.certify):
        with pytest.raises(UsageError, match=r"elman: feedback=.*no Feedback is declared.*u=Feedback\('q'\)"):
            call(bv.cells.elman, feedback=mode)
    assert with_feedback(bv.cells.elman, "free") is bv.cells.elman


@pytest.mark.parametrize("mode", ["forced", "", 3, True])
def test_an_unknown_mode_is_refused(mode):
    with pytest.raises(UsageError, match="expected one of 'free', 'teacher', 'scheduled'"):
        with_feedback(bv.cells.jordan, mode)


@pytest.mark.parametrize("name", ["mask", "mask_next", "feedback"])
def test_names_of_the_modes_are_reserved(name):
    with pytest.raises(NameRefusedError, match="reserved"):
        exec(
            f"@recurrence\ndef cell(x=Input('q'), {name}=State('q')):\n    pass\n",
            {"recurrence": recurrence, "Input": Input, "State": State},
        )


def test_a_kernel_is_certified_in_its_own_mode():
    kernel = bv.generate(bv.cells.jordan, feedback="teacher")
    with pytest.raises(UsageError, match="feedback='free' with a kernel made for 'teacher'"):
        bv.certify(kernel, feedback="free")


def test_the_jacobian_of_a_teacher_forced_jordan_is_zero_and_said_to_be():
    derivation = bv.derive(bv.cells.jordan, feedback="teacher")
    assert "The Jacobian is zero." in derivation.to_text()
    claim = derivation.claims["T11"]
    assert claim.applies and "J_t = 0" in claim.statement and "each step alone" in claim.statement
    assert [str(f) for f in claim.parts["fed"]] == ["u_t = y_{t-1}", "u_1 = u0"]
    assert not derivation.claims["T12"].applies
    free = bv.derive(bv.cells.jordan).claims
    assert free["T11"].applies and "J_t = 0" not in free["T11"].statement and free["T12"].applies
    assert [str(f) for f in free["T11"].parts["fed"]] == ["u_t = o_{t-1}", "u_1 = u0"]
    assert "mask" in bv.derive(bv.cells.jordan, feedback="scheduled").to_text()
