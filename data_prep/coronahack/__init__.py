"""CoronaHack: Kermany's radiographs with a few of COVID-19."""
