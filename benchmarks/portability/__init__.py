"""Which devices the kernels compile on, run on and are memory-safe on: what `make matrix` runs."""
