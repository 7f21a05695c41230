"""From Programs to readable, standalone NumPy source."""

from bptt_verify.codegen.kernel import Kernel, generate

__all__ = ["Kernel", "generate"]
