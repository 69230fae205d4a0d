"""The process and the machine it runs on, and what processes exchange."""
