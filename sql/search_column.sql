SELECT q.number::integer, s.score, {keys}
FROM pg_catalog.unnest({queries}::pg_catalog.text[]) WITH ORDINALITY AS q (query, number)
CROSS JOIN LATERAL bitryoshka.search(
    NULL::{table},
    q.query::{pgvector}.vector,
    k => {k}::integer,
    candidates => {candidates}::integer,
    code_column => {code_column},
    prefix_bits => {prefix_bits}::integer,
    rescore => {rescore},
    shortlist => {shortlist}::integer,
    filter => {filter}
) WITH ORDINALITY AS s (item, score, place)
ORDER BY q.number, s.place
