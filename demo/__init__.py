"""The demo: a year of a real grocer, and the reference model that checks it."""
