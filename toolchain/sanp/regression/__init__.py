"""Is a result worse than an earlier one? Profiles and validations, as a table of checks and as JUnit XML."""
