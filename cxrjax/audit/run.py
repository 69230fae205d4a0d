audit=summarise=None
