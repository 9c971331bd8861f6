"""A state machine over whole programs and histories, judged by the reference model."""
