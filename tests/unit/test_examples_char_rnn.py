"""The hand-written character RNN is right, and its broken versions are wrong where they say."""

import char_rnn
import char_rnn_broken
import numpy as np
import pytest

STEP = 1e-30
TOLERANCE = 1e-12


@pytest.fixture(scope="module")
def inputs():
    return char_rnn.license_inputs(np.random.default_rng(1), hidden=3, steps=12, batch=2)


@pytest.fixture(scope="module")
def expected(inputs):
    """The gradient by complex step of the loss alone, element by element."""
    return {name: complex_step(inputs, name) for name in inputs if name not in {"x", "y"}}


def complex_step(inputs, name):
    grad = np.empty(inputs[name].shape)
    for index in np.ndindex(grad.shape):
        moved = {key: a.astype(complex) if key not in {"x", "y"} else a for key, a in inputs.items()}
        moved[name][index] += 1j * STEP
        loss, _ = char_rnn.loss_and_grad(**moved)
        grad[index] = loss.imag / STEP
    return grad


def wrong_blocks(function, inputs, expected):
    _, grads = function(**inputs)
    assert grads.keys() == expected.keys()
    return {
        name
        for name, grad in expected.items()
        if np.max(np.abs(grads[name] - grad)) > TOLERANCE * np.max(np.abs(grad))
    }


def test_the_right_one_agrees_with_complex_step(inputs, expected):
    assert wrong_blocks(char_rnn.loss_and_grad, inputs, expected) == set()


@pytest.mark.parametrize(
    ("broken", "wrong"),
    [
        (char_rnn_broken.missing_dh_next, {"W_hx", "W_hh", "b_h", "h0"}),
        (char_rnn_broken.h_t_for_h_prev, {"W_hh"}),
    ],
)
def test_a_broken_one_is_wrong_in_just_these_blocks(broken, wrong, inputs, expected):
    assert wrong_blocks(broken, inputs, expected) == wrong


def test_clipping_is_active_on_the_licence():
    inputs = char_rnn.license_inputs(np.random.default_rng(0))
    _, grads = char_rnn.loss_and_grad(**inputs)
    _, clipped = char_rnn_broken.clipped_before_returning(**inputs)
    assert any(np.max(np.abs(grad)) > 5 for grad in grads.values())
    assert max(np.max(np.abs(grad)) for grad in clipped.values()) == 5


def test_the_loss_is_the_same_in_all(inputs):
    losses = {
        function(**inputs)[0]
        for function in (
            char_rnn.loss_and_grad,
            char_rnn_broken.missing_dh_next,
            char_rnn_broken.h_t_for_h_prev,
            char_rnn_broken.clipped_before_returning,
        )
    }
    assert len(losses) == 1


def test_streams_predict_the_next_character():
    ids, chars = char_rnn.read_text()
    x, y = char_rnn.streams(ids, batch=4)
    assert x.shape == y.shape == ((len(ids) - 1) // 4, 4)
    assert np.array_equal(x[1:], y[:-1])
    assert "".join(chars[i] for i in x[:11, 0]) == "MIT License"
