"""The leaderboard, built from the log alone: `reading` is where to start."""
