"""Django in this process, its settings made once, and its default database the one of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django
from django.conf import settings
from django.db import connections
from psycopg.conninfo import conninfo_to_dict


def database_settings(dsn: str) -> dict[str, Any]:
    parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts["dbname"],
        "USER": parts.get("user", ""),
        "PASSWORD": parts.get("password", ""),
        "HOST": parts.get("host", ""),
        "PORT": parts.get("port", ""),
    }


def configure(dsn: str) -> None:
    if not settings.configured:
        settings.configure(
            DATABASES={"default": database_settings(dsn)},
            DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
            INSTALLED_APPS=["django_library"],
            MIGRATION_MODULES={"django_library": None},
            USE_TZ=True,
        )
        django.setup()


@contextmanager
def default_database(dsn: str) -> Iterator[None]:
    """Let the models be in this database; its connections are closed at the end."""
    configure(dsn)
    connections["default"].settings_dict.update(database_settings(dsn))
    try:
        yield
    finally:
        connections.close_all()
