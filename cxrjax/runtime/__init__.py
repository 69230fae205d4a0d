"""The process, other processes and what they exchange, and the machine they run on."""
