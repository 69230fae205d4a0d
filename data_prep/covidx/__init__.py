"""COVIDx: COVID-Net's data set, made of others."""
