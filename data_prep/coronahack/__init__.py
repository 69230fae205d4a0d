"""CoronaHack: Kermany's radiographs and a few of COVID-19."""
