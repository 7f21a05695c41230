"""The catalogue of cells, each written in the language and short enough to be its own definition."""

from bptt_verify.cells.feedback import elman_feedback, jordan
from bptt_verify.cells.gated import gru, gru_original, lstm, lstm_peephole
from bptt_verify.cells.simple import elman, elman_charlm, elman_relu, linear
from bptt_verify.cells.stacked import lstm_stack
from bptt_verify.language import Recurrence

CATALOGUE: dict[str, Recurrence] = {
    r.name: r
    for r in (
        linear,
        elman,
        elman_relu,
        elman_charlm,
        elman_feedback,
        jordan,
        gru,
        gru_original,
        lstm,
        lstm_peephole,
        lstm_stack,
    )
}

__all__ = [
    "CATALOGUE",
    "elman",
    "elman_charlm",
    "elman_feedback",
    "elman_relu",
    "gru",
    "gru_original",
    "jordan",
    "linear",
    "lstm",
    "lstm_peephole",
    "lstm_stack",
]
