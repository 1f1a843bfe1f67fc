"""Puts this folder on the path: `transaction.py` is for all of its tests."""
