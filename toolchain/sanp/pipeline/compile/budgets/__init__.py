"""`sanp compile --budgets`: thresholds for what a sample may cost, and what each costs in accuracy and time."""
