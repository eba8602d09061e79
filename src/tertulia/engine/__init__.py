"""The local mind: a continuous-batching engine over OpenVINO paged attention."""
