"""The claims T1 to T4 as theorems."""
