"""The lab guide: the questions of the lab sheet, each to be predicted, run and revealed."""
