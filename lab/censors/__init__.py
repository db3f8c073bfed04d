"""One module and one TOML file for each profile of blocking: what the censor does, and by whom it
was seen doing so."""
