"""Where models come from: a name or folder (`local`), a bundled one (`bundled`)."""
