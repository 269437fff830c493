"""Events that survive: an SQLite file and a folder of pictures beside it."""
