"""What `data.describe` puts together: one module for each kind of thing there is to know of a data set."""
