"""Data as the trainer sees them: the one stored form, scaled, in the order of the seed."""
