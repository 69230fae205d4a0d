"""COVID-19-AR: radiographs of COVID-19 in rural Arkansas."""
