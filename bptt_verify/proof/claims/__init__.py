"""The claims T1 to T7 as theorems."""
