SELECT pg_catalog.pg_extension_config_dump('bitryoshka.{table}', '');
