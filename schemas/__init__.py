"""The contracts: what goes into the ledger and what it records.

`inputs` are the events that retail, CRM and survey tools publish; `decisions` are the events the
ledger appends to its log. JSON Schema and AsyncAPI files are generated from these types, never
written by hand. Nothing here imports anything else of the project.
"""
