"""Images: read, crop, mask, paste back and write, without losing anything of the file."""
