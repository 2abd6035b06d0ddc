"""The lesson on the page: what the teacher does, and what the class sees of it. Knows no tab."""
