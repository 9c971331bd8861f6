"""The operations of the API, a file for each group."""

from fastapi import APIRouter

from api.routes import (
    audit_trail,
    changes,
    health,
    ingest,
    keys,
    me,
    members,
    preview,
    proposals,
    webhooks,
)

GROUPS: tuple[APIRouter, ...] = (
    health.group,
    me.group,
    members.group,
    preview.group,
    changes.group,
    ingest.group,
    keys.group,
    audit_trail.group,
    proposals.group,
    webhooks.group,
)
