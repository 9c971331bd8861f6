"""Tests of explanations and of what was known when."""
