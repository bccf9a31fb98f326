"""The committed kernels and their manifest, written by `gradproof generate`."""
