"""Jobs whose workers are processes here: on the embedded cloud, for one command's life, or at services that live on."""
