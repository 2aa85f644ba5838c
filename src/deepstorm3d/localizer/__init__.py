"""Networks that propose emitters: their outputs, losses and decoders, and the localizer around them."""
