"""What a host has to offer before a run: `gather` reads it, `check_host` judges it."""
