from cxrjax.pretrained import keras

read = keras.read
