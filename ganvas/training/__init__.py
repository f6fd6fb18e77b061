"""Train a GAN: the parts (losses, penalties, augmentation, averages, schedules), each usable alone, and the loops."""
