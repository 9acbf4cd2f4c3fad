-- a key as text is the same key for whoever reads it, under any settings
SELECT
    pg_catalog.set_config('extra_float_digits', '3', true),
    pg_catalog.set_config('datestyle', 'ISO', true),
    pg_catalog.set_config('intervalstyle', 'iso_8601', true)
