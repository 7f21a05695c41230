"""From Programs to readable, standalone NumPy source."""

from bptt_verify.codegen.clipping import Update, generate_update
from bptt_verify.codegen.kernel import Kernel, generate

__all__ = ["Kernel", "Update", "generate", "generate_update"]
