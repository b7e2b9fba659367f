"""What carries the stages of a first visit to a GPU; README.md names the files."""
