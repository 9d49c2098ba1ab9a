"""Tables, figures and the page of results (`python -m samplenet.report FOLDER`)."""
