"""The dialects that the mock speaks: what is asked, and what the bytes of an answer are."""
