"""The main job on real text: docstrings, embedded, encoded, stored and searched in Postgres."""

from bitryoshka.demo.run import run

__all__ = ["run"]
