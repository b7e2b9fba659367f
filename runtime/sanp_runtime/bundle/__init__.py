"""A compiled network on disk: manifest, reader, writer, reference samples."""
