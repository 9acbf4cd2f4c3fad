SELECT current_setting('statement_timeout'), current_setting('lock_timeout')
