"""What every training needs: files, the loop, losses, figures."""
