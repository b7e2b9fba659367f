"""What runs on a board while a workstation is connected; the standard library alone, so that it can be sent as text."""
