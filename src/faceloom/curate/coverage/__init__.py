"""Coverage: what dst shows and src lacks, as maps, words and a page."""
