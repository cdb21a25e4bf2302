"""What must hold, taken out of the program one at a time: the tests have to see each of them go."""
