"""What the demo takes where nothing else is asked for."""

MODEL = "all-MiniLM-L6-v2"
LIMIT = 10_000
