"""The derivation book: a page for every operator, made from its derivation, proofs and kernels."""
