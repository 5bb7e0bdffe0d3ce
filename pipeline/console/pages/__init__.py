"""The console for people: pages of HTML, rendered here, over the functions that the API has too."""
