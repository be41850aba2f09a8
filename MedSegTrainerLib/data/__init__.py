"""Cases and their files: layouts, splits, images, label maps, what is wrong with them, and the batches made of them."""
