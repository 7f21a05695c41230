"""The command line ``bptt-verify``.

``app`` knows arguments and nothing heavy, ``guard`` turns what happens into exit codes, ``work`` and
``claims`` do what a command says, ``targets`` finds what it names, ``pages`` are the proofs files,
``outcome`` is what comes of it, ``formats`` and ``tables`` write that down.
"""

from bptt_verify.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line on the arguments of the process, and exit."""
    app(prog_name="bptt-verify")
