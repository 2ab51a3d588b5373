"""What each kind of part must do: the abstract classes that plugins implement."""
