"""Coins: fair to their probability, independent of each other, and the same from the same seed."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, chisquare

from lexmove.trials.coins import toss, toss_fast_coins

NUM = 400_000


@pytest.mark.parametrize("p", [0.0, 1e-6, 0.003, 0.0078125, 0.1, 0.5, 0.83, 0.9995, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.bool])
def test_as_many_fall_on_1_as_the_probability_says(p, dtype):
    torch.manual_seed(0)
    coins = toss(torch.empty(NUM, dtype=dtype), p)
    assert coins.dtype == dtype
    assert set(coins.float().unique().tolist()) <= {0.0, 1.0}
    # 27 cases: one in a thousand runs of new seeds would fail by chance.
    assert binomtest(int(coins.sum(dtype=torch.int64)), NUM, p).pvalue > 4e-5


def test_the_four_coins_of_one_number_tell_nothing_of_each_other():
    torch.manual_seed(1)
    coins = toss(torch.empty(NUM, 4, dtype=torch.int64), 0.5)
    patterns = np.bincount((coins * torch.tensor([1, 2, 4, 8])).sum(1).numpy(), minlength=16)
    assert chisquare(patterns).pvalue > 1e-3


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (0,)])
def test_every_shape_is_filled(shape):
    coins = toss(torch.full(shape, 7.0), 0.5)
    assert coins.shape == shape
    assert bool(((coins == 0) | (coins == 1)).all())


def test_what_is_not_laid_out_in_order_is_filled_too():
    coins = torch.full((6, 8), 7.0).T[::2]
    assert toss(coins, 0.5) is coins
    assert bool(((coins == 0) | (coins == 1)).all())


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(p):
    with pytest.raises(RuntimeError, match="expects p"):
        toss(torch.empty(3), p)


def test_dropout_and_attention_use_them_and_repeat_under_a_seed(monkeypatch):
    toss_fast_coins()
    x = torch.ones(64, 64)
    torch.manual_seed(5)
    first = torch.nn.functional.dropout(x, 0.1)
    torch.manual_seed(5)
    expected = toss(torch.empty_like(x), 0.9).div_(0.9)
    assert torch.equal(first, expected)
    query = torch.randn(2, 3, 8, 4)
    outcomes = []
    for _ in range(2):
        torch.manual_seed(5)
        outcomes.append(
            torch.nn.functional.scaled_dot_product_attention(query, query, query, dropout_p=0.5)
        )
    assert torch.equal(*outcomes)
    assert not torch.equal(
        outcomes[0], torch.nn.functional.scaled_dot_product_attention(query, query, query)
    )
