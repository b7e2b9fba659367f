"""Settings of the verbs: one class each, filled from a TOML file, from flags, or from keywords."""
