"""Where raw images come from: archives and image lists, fetched and checked."""
