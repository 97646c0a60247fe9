"""Where models come from: a name, a folder or an object (`local`), a package (`installed`), a GGUF file (`gguf`)."""
