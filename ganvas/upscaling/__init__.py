"""Upscaling: any upscaler, any scale, any image size, without seams."""
