"""The embedded shop, `shop.synthetic`: a seeded, invented shop in three languages whose truth is known."""
