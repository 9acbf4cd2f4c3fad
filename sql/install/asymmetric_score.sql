-- A body that is bound when it is made needs no search_path of its own, and so can be inlined.
CREATE FUNCTION bitryoshka.asymmetric_score(code bit, planes bit[]) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (
    63 * bit_length(code) - 2 * (
        32 * (code <~> planes[1])
        + 16 * (code <~> planes[2])
        + 8 * (code <~> planes[3])
        + 4 * (code <~> planes[4])
        + 2 * (code <~> planes[5])
        + (code <~> planes[6])
    )
)::integer;
COMMENT ON FUNCTION bitryoshka.asymmetric_score(bit, bit[]) IS
'How well a stored code answers a query of query_planes: larger is better, up to a factor of the
query the inner product with the decoded row. No float column is needed. The code must be as long
as the planes; cut it with substring where they were made for fewer bits.';
