"""Tests of what the command line sets up; the commands are tested with what they command."""
