-- A body that is bound when it is made needs no search_path of its own, and so can be inlined.
CREATE FUNCTION bitryoshka.asymmetric_score(code bit, planes bit[]) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (
    255 * bit_length(code) - 2 * (
        128 * (code <~> planes[1])
        + 64 * (code <~> planes[2])
        + 32 * (code <~> planes[3])
        + 16 * (code <~> planes[4])
        + 8 * (code <~> planes[5])
        + 4 * (code <~> planes[6])
        + 2 * (code <~> planes[7])
        + (code <~> planes[8])
    )
)::integer;
COMMENT ON FUNCTION bitryoshka.asymmetric_score(bit, bit[]) IS
'How well a stored code answers a query of query_planes: larger is better, up to a factor of the
query the inner product with the decoded row. No float column is needed. The code must be as long
as the planes; cut it with substring where they were made for fewer bits.';
