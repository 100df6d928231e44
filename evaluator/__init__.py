"""Run AI vendors' submissions on private image tiles, and sign what they scored."""

__version__ = "0.1.0"
