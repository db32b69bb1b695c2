"""Studies: the same data, encoder and loop under several systems, as the paper's Tables 2 to 4 compare them."""
