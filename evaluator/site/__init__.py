"""The leaderboard as a static site: HTML files that need nothing but themselves."""
