-- only who may write codecs may lock them so
LOCK TABLE bitryoshka.codecs IN SHARE ROW EXCLUSIVE MODE
