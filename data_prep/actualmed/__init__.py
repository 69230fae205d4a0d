"""The Actualmed COVID-19 radiographs of agchung."""
