"""The time of each layer by its open channels: measured, fitted, kept in a table, and added up to a prediction."""
