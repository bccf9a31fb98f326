"""The pages of the documentation, as they ship; `gradproof book` makes a site of them."""
