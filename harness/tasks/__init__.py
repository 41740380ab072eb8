"""The tasks; `gradrace.registry` takes every TaskSpec in the modules of this folder.

adding, copy_memory; breast_cancer_logreg, diabetes_mlp, wine_mlp; digits_mlp, digits_cnn,
digits_rnn, digits_lstm, digits_gru; mnist, fashion, cifar10_cnn; shakespeare; points;
synthetic_mlp, synthetic_cnn, synthetic_lstm. They share _grey28, _grid and _synthetic."""
