"""Who may do what: API keys, tokens of an OIDC issuer, rates, the audit trail, approvals."""
