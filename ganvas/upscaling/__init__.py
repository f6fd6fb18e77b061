"""IMG → LARGER IMG: any upscaler, any scale, any picture size, without seams."""
