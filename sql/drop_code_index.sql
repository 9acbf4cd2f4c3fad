DROP INDEX {concurrently}{index}
