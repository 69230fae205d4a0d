"""COVIDx: COVID-Net's composite data set."""
