"""How good a generator is, in figures that always carry how they were measured."""
