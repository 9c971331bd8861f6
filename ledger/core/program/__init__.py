"""A loyalty program: its form, strict loading, the hash that names a version, its calendar."""
