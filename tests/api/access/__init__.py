"""Who may call the API, how often, and what is noted of it."""
