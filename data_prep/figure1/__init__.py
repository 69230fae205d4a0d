"""The Figure 1 COVID-19 radiographs of agchung."""
