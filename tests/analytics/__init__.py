"""The figures over the log, against computations of their own."""
