"""Scores with intervals: functions of rows and arrays."""
