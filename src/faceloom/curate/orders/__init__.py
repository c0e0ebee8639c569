"""Orders of a faceset: every sort method, and the choice of the best faces."""
