"""The pure core: programs, rules, accounts, postings. No I/O, no clock, no random numbers."""
