"""Finds the certificates that derive/checker.py re-checks; nothing here is trusted."""
