-- what earlier revisions had and this one has not
DO $$
BEGIN
    PERFORM
        bitryoshka.drop_if_possible('bitryoshka.rename_code_column(regclass, name, name)'),
        bitryoshka.drop_if_possible('bitryoshka.progressive_create_encoder(text)'),
        bitryoshka.drop_if_possible('bitryoshka.progressive_create_column_functions(integer)'),
        bitryoshka.drop_if_possible('bitryoshka.create_column_functions(integer)'),
        bitryoshka.drop_if_possible('bitryoshka.add_code_column('
            'regclass, name, text, name, text, integer)'),
        bitryoshka.drop_if_possible('bitryoshka.begin_codec('
            'text, integer, text, text, integer, integer, integer, integer[], json)'),
        bitryoshka.drop_if_possible('bitryoshka.encode_query(text, {pgvector}.vector, integer)'),
        bitryoshka.drop_if_possible('bitryoshka.query_planes(text, {pgvector}.vector, integer)'),
        bitryoshka.drop_if_possible('bitryoshka.search(anyelement, {pgvector}.vector, integer, '
            'integer, text, integer, boolean, integer, text, jsonb)'),
        bitryoshka.drop_if_possible('bitryoshka.search_statement(regclass, text, integer, '
            'integer, integer, boolean, integer, text)');
END
$$;
