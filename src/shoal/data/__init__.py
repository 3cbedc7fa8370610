"""What a person brings, read exactly and checked: points, distances, similarities and graphs."""
