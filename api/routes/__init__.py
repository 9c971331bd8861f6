"""The operations of the API, a file for each group."""

from fastapi import APIRouter

from api.routes import changes, health, ingest, me, preview, webhooks

GROUPS: tuple[APIRouter, ...] = (
    health.group,
    me.group,
    preview.group,
    changes.group,
    ingest.group,
    webhooks.group,
)
