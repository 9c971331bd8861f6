"""The operations of the API, a file for each group."""

from fastapi import APIRouter

from api.routes import changes, health

GROUPS: tuple[APIRouter, ...] = (health.group, changes.group)
