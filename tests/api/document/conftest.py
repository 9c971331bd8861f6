"""A ledger with everything in it, for requests that are made up from the document."""

from tests.api.reads.conftest import admin, folded, own_url, server, shop, template, written

__all__ = ["admin", "folded", "own_url", "server", "shop", "template", "written"]
"""Fixtures that these tests share with others."""
