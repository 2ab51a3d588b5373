"""Arms of a comparison: pipelines that differ in a few settings, run one after the other."""
