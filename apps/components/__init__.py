"""Parts that views are built from: the page's shell, filters, pictures and the figure card."""
