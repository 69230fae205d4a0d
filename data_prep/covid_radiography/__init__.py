"""The COVID-19 Radiography Database."""
