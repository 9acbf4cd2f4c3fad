-- what earlier revisions had and this one has not
DO $$
BEGIN
    PERFORM
        bitryoshka.drop_if_possible('bitryoshka.rename_code_column(regclass, name, name)'),
        bitryoshka.drop_if_possible('bitryoshka.progressive_create_encoder(text)'),
        bitryoshka.drop_if_possible('bitryoshka.progressive_create_column_functions(integer)'),
        bitryoshka.drop_if_possible('bitryoshka.create_column_functions(integer)');
END
$$;
