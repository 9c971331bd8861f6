"""The process dies at each crash point, recovers, and ends as if it had never died."""
