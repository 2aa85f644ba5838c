"""The training loop: frames are simulated on the fly, and a network (or a mask) learns from them."""
