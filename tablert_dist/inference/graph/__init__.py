"""From results to a knowledge graph: equal names become one node, equal triples one edge, each with its evidence."""
