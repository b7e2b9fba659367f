"""Settings of the commands, from a TOML file and flags."""
