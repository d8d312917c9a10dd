"""Everything public goes through here: noise for people, disclosure control for firms."""
