"""The parts that come with the core, each a record and a factory as any plugin's."""
