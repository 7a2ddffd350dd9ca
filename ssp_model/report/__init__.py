"""Pages of the report, each one HTML file that works without a network."""
