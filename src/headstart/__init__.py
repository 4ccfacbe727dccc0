"""headstart: a folder of labelled pictures becomes an honest, saved classifier in one pass."""
