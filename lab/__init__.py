"""How the bundled toy model, `--model lab`, was made: corpus, training, evaluation, card. Not a part of the package."""
