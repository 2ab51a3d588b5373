"""Why did a pipeline decide so? What each member said, what was made of it, and which words carried the decision."""
