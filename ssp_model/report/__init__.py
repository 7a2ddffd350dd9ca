"""Pages of the report. Each page is one HTML file that works offline; its text is in `templates/`."""
