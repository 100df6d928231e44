"""What each model would cost, from signed results and assumptions: `decide` has the formulas."""
