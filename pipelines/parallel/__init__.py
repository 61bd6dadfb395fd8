"""One clip on many processes: its frames spread over them, attention still global."""
