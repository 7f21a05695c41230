"""The whole ladder of evidence for one recurrence and its kernel, and the certificate that records it."""

from bptt_verify.certification.certificate import Certificate, Rung
from bptt_verify.certification.ladder import certify
from bptt_verify.certification.repetition import recheck

__all__ = ["Certificate", "Rung", "certify", "recheck"]
