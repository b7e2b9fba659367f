"""The exported graph: model files, patterns, layers, supports."""
