"""Timing beside PyTorch: contests, interleaved rounds, probes, tables and pictures."""
