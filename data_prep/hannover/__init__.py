"""Hannover Medical School's COVID-19 image repository."""
