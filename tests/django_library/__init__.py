"""An app of Django: models with codes, in the database that `tests.django_project` points at."""
