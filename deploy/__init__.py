"""Running the ledger: embedded services, the image. Imports nothing else of the project."""
