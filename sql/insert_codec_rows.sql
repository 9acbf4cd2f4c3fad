INSERT INTO bitryoshka.{table} (codec_id, {columns}) VALUES
{rows}
ON CONFLICT DO NOTHING
