"""What training reaches and what it costs; README.md names the commands."""
