"""How fast the HTTP API answers, beside a worker that is busy."""
