"""One resolved request to pictures: stock diffusers pipelines, watched from outside by the tap."""
