-- a key as text is the same key for whoever reads it, under any settings
SELECT
    set_config('extra_float_digits', '3', true),
    set_config('datestyle', 'ISO', true),
    set_config('intervalstyle', 'iso_8601', true)
