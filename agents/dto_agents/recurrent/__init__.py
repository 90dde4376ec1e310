"""Recurrent policies: LeTO, and the LSTM-GMM that it is compared with."""
