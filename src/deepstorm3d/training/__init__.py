"""The one training loop: frames simulated on the fly, a network (or a mask) that learns from them."""
