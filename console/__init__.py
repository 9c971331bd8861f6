"""The web console at /console: screens for marketers, service agents and operations.

Every screen asks and changes by the operations of the API, in process, under the key or token with
which the person signed in: what the API refuses, the console cannot do, and every call is limited
and written to the audit trail like any other.
"""
