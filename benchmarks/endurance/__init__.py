"""Long runs: whether memory stays flat, and models that are trained side by side."""
