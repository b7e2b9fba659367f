"""`sanp compare`: methods side by side on one target."""
