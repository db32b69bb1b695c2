"""One drawing of sentences, entities, relations and tables; it knows results and no model."""
