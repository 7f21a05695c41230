"""The kernels of the catalogue as generated, one module a cell, and the clipped update.

They need NumPy only, and are compared with what the generator writes by a test. After a change to the
derivation or the generator, write them anew with ``bptt-verify generate --update-kernels``. Only
``updates`` and ``translation``, the clip with the errors of this library, are written by hand.
"""
