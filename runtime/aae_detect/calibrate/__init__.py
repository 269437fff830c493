"""`aae-calibrate`: what is usual in front of one camera, for one model."""
