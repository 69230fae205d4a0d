"""Remedies against shortcuts by which the source of a radiograph reveals its label; settings under `config.remedy`.

sampling            draws (source, class) cells equally often, or sources of one class seldom (Idrissi 2022)
appearance          varies gray levels, sharpness, resolution and JPEG quality at random
matching            draws the classes alike in age, sex and view (Iacus 2012)
pairing             draws pairs of one source and two classes (Breslow 1980)
spectrum            mixes amplitude spectra within the batch (Xu 2021)
mixed_sources       mixes radiographs of one class and two sources (Yao 2022)
surroundings        takes all outside the lungs' box from another radiograph of the batch (Xiao 2021)
group_dro           distributionally robust optimization over (source, class) groups (Sagawa 2020)
bias_balanced       softmax balanced by the frequency of a class in its source (Luo 2022)
adversary           predicts the source from the features, whose gradient is reversed (Ganin 2016)
distance_correlation  between features and source (Székely 2007)
worst_group         metrics of validation that choose the epoch (Yang 2023)
last_layer          trains the last layer of a finished run again (Kirichenko 2023)
hooks               joins them for the training of a classifier
"""
