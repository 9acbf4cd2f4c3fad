(128 OPERATOR(pg_catalog.*) (code OPERATOR({pgvector}.<~>) {plane_1}::bit({bits})))
OPERATOR(pg_catalog.+) (64 OPERATOR(pg_catalog.*) (code
    OPERATOR({pgvector}.<~>) {plane_2}::bit({bits})))
OPERATOR(pg_catalog.+) (32 OPERATOR(pg_catalog.*) (code
    OPERATOR({pgvector}.<~>) {plane_3}::bit({bits})))
OPERATOR(pg_catalog.+) (16 OPERATOR(pg_catalog.*) (code
    OPERATOR({pgvector}.<~>) {plane_4}::bit({bits})))
OPERATOR(pg_catalog.+) (8 OPERATOR(pg_catalog.*) (code
    OPERATOR({pgvector}.<~>) {plane_5}::bit({bits})))
OPERATOR(pg_catalog.+) (4 OPERATOR(pg_catalog.*) (code
    OPERATOR({pgvector}.<~>) {plane_6}::bit({bits})))
OPERATOR(pg_catalog.+) (2 OPERATOR(pg_catalog.*) (code
    OPERATOR({pgvector}.<~>) {plane_7}::bit({bits})))
OPERATOR(pg_catalog.+) (1 OPERATOR(pg_catalog.*) (code
    OPERATOR({pgvector}.<~>) {plane_8}::bit({bits})))
