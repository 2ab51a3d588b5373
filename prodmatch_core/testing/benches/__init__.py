"""How a part of each kind is put to work by the kit: built, asked, asked about nothing, saved and loaded again."""
