"""What a microscope and a movie tell about themselves: masks, noise, light, places."""
