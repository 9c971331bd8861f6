"""The operations of the API, a file for each group."""

from fastapi import APIRouter

from api.routes import (
    analyses,
    audit_trail,
    catalogue,
    changes,
    code_batches,
    document,
    health,
    ingest,
    jobs,
    keys,
    levels,
    me,
    members,
    operations,
    preview,
    programs,
    proposals,
    referral_codes,
    reports,
    webhooks,
)

GROUPS: tuple[APIRouter, ...] = (
    health.group,
    document.group,
    me.group,
    members.group,
    preview.group,
    changes.group,
    ingest.group,
    keys.group,
    audit_trail.group,
    proposals.group,
    webhooks.group,
    catalogue.group,
    code_batches.group,
    levels.group,
    referral_codes.group,
    programs.group,
    jobs.group,
    analyses.group,
    reports.group,
    operations.group,
)
