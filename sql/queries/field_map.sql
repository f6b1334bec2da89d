-- The mapping.
SELECT field, expression FROM guestly.field_map
