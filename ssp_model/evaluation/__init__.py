"""Scores of predictions, and their statistics."""
