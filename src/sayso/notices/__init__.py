"""Notices: what Sayso tells people. `sender` sends, `delivery` is apprise, `notice_file` is the local default."""
