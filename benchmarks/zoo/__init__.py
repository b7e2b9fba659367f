"""Networks that nobody here wrote, through gate, export and compile."""
