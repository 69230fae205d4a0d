"""MIDRC-RICORD-1c: radiographs of COVID-19 from four sites."""
