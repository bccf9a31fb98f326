"""Hostile files for every reader: what is made, how it is watched, and what is recorded."""
