"""The model that sees: how its data is made, how it is trained, scored and packed. Start with README.md."""
