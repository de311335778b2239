"""What is drawn over the picture and clicked on in it, in 2D and in 3D."""
