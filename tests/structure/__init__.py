"""Tests of what the code says about itself: who imports whom, which codes are given."""
