"""What `gandetect.detect.simulate` is made of.

`pictures`: pixels in and out. `delivery`: how both images of a pair reach their viewer.
`kernels`, `upsamplers`, `finishing`, `pipeline`: generators of random layers. `network`:
generators of trained layers, which `gandetect.detect.autoencoders` trains.
"""
