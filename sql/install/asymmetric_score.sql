-- A body that is bound when it is made needs no search_path of its own, and so can be inlined.
CREATE OR REPLACE FUNCTION bitryoshka.asymmetric_score(code bit, planes bit[]) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (
    255 * bit_length(code) - 2 * (
        128 * (code OPERATOR({pgvector}.<~>) planes[1])
        + 64 * (code OPERATOR({pgvector}.<~>) planes[2])
        + 32 * (code OPERATOR({pgvector}.<~>) planes[3])
        + 16 * (code OPERATOR({pgvector}.<~>) planes[4])
        + 8 * (code OPERATOR({pgvector}.<~>) planes[5])
        + 4 * (code OPERATOR({pgvector}.<~>) planes[6])
        + 2 * (code OPERATOR({pgvector}.<~>) planes[7])
        + (code OPERATOR({pgvector}.<~>) planes[8])
    )
)::integer;
COMMENT ON FUNCTION bitryoshka.asymmetric_score(bit, bit[]) IS
'How well a stored code answers a query of query_planes: larger is better, up to a factor of the
query the inner product with the decoded row. No float column is needed. The code must be as long
as the planes; cut it with substring where they were made for fewer bits.';
