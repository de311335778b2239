"""`python -m napari_sam2`, for where the folder of `napari-sam2` is not on the path."""

from napari_sam2.cli import main

if __name__ == "__main__":
    main()
