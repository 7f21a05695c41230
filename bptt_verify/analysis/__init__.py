"""What a gradient says about its recurrence, and what a formula says about a gradient."""

from bptt_verify.analysis.lags import LagProfile, lag_profile

__all__ = ["LagProfile", "lag_profile"]
