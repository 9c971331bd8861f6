"""Measurements behind the figures of the documentation: `make bench`.

Each runs on services of its own in a temporary folder and prints a ratio against its floor, taken
in the same run: ratios can be compared between machines, absolute figures cannot. Nothing here is
part of the installed package, and nothing of the project may import it.
"""
