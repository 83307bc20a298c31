"""Random numbers: the published generator, true permutations, and draws by weight in exact integers."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from macqueen import _core
from tests import core

MASK = 2**32 - 1

# Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011); `kat_vectors` of Random123 1.14,
# lines `philox4x32 10`: counter, key, result.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((MASK,) * 4, (MASK,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def philox(counter, key):
    """Return Philox4x32-10 of a counter of four and a key of two 32-bit words, from its definition."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK, (p0 >> 32) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c0, c1, c2, c3


def draw(seed, purpose, index, round_=0):
    """Return the 64 bits that (seed, purpose, index) stand for."""
    words = philox((index & MASK, index >> 32, purpose, round_), (seed & MASK, seed >> 32))
    return words[0] | words[1] << 32


def chi_square(counts, expected):
    """Return the statistic, and a limit that chance passes about once in a million cases."""
    freedom = len(expected) - 1
    statistic = sum((counts[i] - e) ** 2 / e for i, e in expected.items())
    return statistic, freedom + 5 * math.sqrt(2 * freedom) + 15


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN_ANSWERS)
def test_definition(counter, key, result):
    """The definition in this file is the published one."""
    assert philox(counter, key) == result


def test_random_bits():
    """Bits are those of the definition, for any seed, purpose and index."""
    assert _core.random_bits(0, 0, 0) == 0xE169C58D6627E8D5
    edges = (0, 1, 2**31, 2**32 - 1)
    wide = (*edges, 2**32, 2**63, 2**64 - 1, 0x299F31D0A4093822)
    found = {}
    for seed, purpose, index in itertools.product(wide, edges, wide):
        found[seed, purpose, index] = _core.random_bits(seed, purpose, index)
        assert found[seed, purpose, index] == draw(seed, purpose, index)
    assert len(set(found.values())) == len(found)


def test_random_bits_are_even():
    """Every byte of the results is as likely."""
    bits = np.array([_core.random_bits(1, 2, i) for i in range(8192)], dtype=np.uint64).view(np.uint8)
    statistic, limit = chi_square(Counter(bits.tolist()), dict.fromkeys(range(256), len(bits) / 256))
    assert statistic < limit


def test_permutations():
    """Every length from 0 to 300 gives each place once."""
    for n in range(301):
        assert sorted(_core.permuted(n, 1, n, 0, n).tolist()) == list(range(n))


@pytest.mark.parametrize("n", [4096, 4097, 65_536, 100_003])
def test_longer_permutations(n):
    """So do longer ones, just below and above a power of two."""
    assert np.array_equal(np.sort(_core.permuted(3, 1, n, 0, n)), np.arange(n))


@pytest.mark.parametrize("n", [2**32 - 1, 2**32, 2**32 + 1, 10**12, 2**40 + 3, 2**62])
def test_parts_of_huge_permutations(n):
    """Parts of permutations that nobody could store have distinct places below n, spread over all of it."""
    parts = [_core.permuted(5, 1, n, begin, begin + 3000) for begin in (0, n // 2, n - 3000)]
    places = np.concatenate(parts)
    assert len(np.unique(places)) == len(places)
    assert places.min() >= 0
    assert places.max() < n
    counts = Counter((int(p) * 16 // n) for p in places)
    statistic, limit = chi_square(counts, dict.fromkeys(range(16), len(places) / 16))
    assert statistic < limit


def test_a_part_is_a_part():
    """Any window shows the same permutation."""
    whole = _core.permuted(7, 1, 1000, 0, 1000)
    assert not np.array_equal(whole, np.arange(1000))
    for begin, end in ((0, 0), (0, 1), (10, 20), (990, 1000), (1000, 1000)):
        assert np.array_equal(_core.permuted(7, 1, 1000, begin, end), whole[begin:end])


def test_permutations_depend_on_seed_and_purpose():
    """Another seed (in any of its 64 bits) or purpose gives another permutation."""
    ways = [(0, 0), (1, 0), (2**32, 0), (2**63, 0), (0, 1), (0, 2**31), (1, 1)]
    found = {_core.permuted(seed, purpose, 1000, 0, 1000).tobytes() for seed, purpose in ways}
    assert len(found) == len(ways)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 7, 16, 17, 40])
def test_permutations_are_even(n):
    """The first two places are any pair, each as likely: distinct random rows are what they say."""
    draws = 40_000
    counts = Counter(tuple(_core.permuted(seed, 1, n, 0, 2).tolist()) for seed in range(draws))
    pairs = list(itertools.permutations(range(n), 2))
    statistic, limit = chi_square(counts, dict.fromkeys(pairs, draws / len(pairs)))
    assert statistic < limit


@pytest.mark.parametrize("window", [(0, -1), (-1, 2), (2, 1), (0, 11)])
def test_windows_outside_are_refused(window):
    """A window must lie within the permutation."""
    with pytest.raises((ValueError, TypeError)):
        _core.permuted(0, 0, 10, *window)


# --- draws by weight --------------------------------------------------------------------------------------------


def grid(weights, top):
    """Return weights as integers of the grid 2^(top - 62), what is below it dropped."""
    return [int(Fraction(w) * Fraction(2) ** (62 - top)) for w in weights.tolist()]


def hard_weights(seed, n):
    """Return weights over the whole range of float64, many of them 0, some denormal, and their top exponent."""
    rng = np.random.default_rng(seed)
    weights = 10.0 ** rng.uniform(-30, 30, n) * (rng.random(n) < 0.7)
    weights[:: max(1, n // 7)] = 5e-324
    weights[n // 2] = 1e-280
    return weights, math.frexp(float(weights.max()))[1]


@pytest.mark.parametrize("n", [1, 2, 100, 65_536, 65_537, 200_001])
def test_total_weight(n):
    """Totals are exact integers, whatever the number of threads."""
    weights, top = hard_weights(n, n)
    expected = sum(grid(weights, top))
    shuffled = np.random.default_rng(0).permutation(weights)
    for count in (1, 2, 3):
        before, threads = core.os_threads(), _core.Threads(count)
        assert _core.total_weight(threads, weights, top) == expected
        assert _core.total_weight(threads, shuffled, top) == expected
        assert core.started(before, min(count, -(-n // 65_536)) - 1), "the threads that were asked for"
        del threads
    if n >= 65_536:
        assert expected > 2**64


@pytest.mark.parametrize("top", [-1073, -1000, 0, 1000])
def test_tops(top):
    """The grid follows the weights, from the smallest to the largest."""
    weights = np.array([1.0, 0.75, 2.0**-52, 0.0, 0.9999999999999999]) * 2.0**-1
    weights = np.ldexp(weights, top)
    found = _core.total_weight(_core.Threads(1), weights, top)
    assert found == sum(grid(weights, top)) > 0


def test_pick_by_weight():
    """The first row whose cumulated weight passes the target is picked, at every border between two rows."""
    weights, top = hard_weights(1, 300)
    borders = list(itertools.accumulate(grid(weights, top)))
    heavy = [i for i, w in enumerate(grid(weights, top)) if w > 0]
    assert 0 < len(heavy) < len(weights)
    for i in heavy:
        begin = borders[i - 1] if i else 0
        assert _core.pick_by_weight(weights, top, begin) == i
        assert _core.pick_by_weight(weights, top, borders[i] - 1) == i


def test_zero_weights_are_never_picked():
    """Rows of weight 0 have no target, at the ends included."""
    weights = np.array([0, 0, 1, 0, 3, 0], dtype=np.float64)
    total = _core.total_weight(_core.Threads(1), weights, 2)
    assert total == 4 * 2**60
    targets = [0, 1, total // 4 - 1, total // 4, total // 4 + 1, total - 1]
    assert [_core.pick_by_weight(weights, 2, t) for t in targets] == [2, 2, 2, 4, 4, 4]


def test_picks_follow_the_weights():
    """Drawn with the generator's own bits, rows come up as often as they weigh."""
    weights = np.array([1, 0, 2, 3, 0.5, 10, 0, 4, 0.25, 7.25])
    top, draws = 4, 20_000
    total = _core.total_weight(_core.Threads(1), weights, top)
    bits = ((_core.random_bits(9, 2, 2 * i) << 64 | _core.random_bits(9, 2, 2 * i + 1)) for i in range(draws))
    counts = Counter(_core.pick_by_weight(weights, top, b * total >> 128) for b in bits)
    expected = {i: draws * w / weights.sum() for i, w in enumerate(weights.tolist()) if w}
    assert set(counts) == set(expected)
    statistic, limit = chi_square(counts, expected)
    assert statistic < limit


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lowered_weights(isa, dtype):
    """What a candidate would leave is what lowering to it leaves, on every instruction set and with any threads."""
    rng = np.random.default_rng(2)
    rows, center = rng.standard_normal((20_001, 9)).astype(dtype), rng.standard_normal(9).astype(dtype)
    nearest = rng.random(len(rows)) * 20
    lowered = nearest.copy()
    _core.lower_to(isa, _core.Threads(3), rows, center, lowered)
    assert 0 < (lowered < nearest).sum() < len(rows)
    reference = nearest.copy()
    _core.lower_to("scalar", _core.Threads(1), rows, center, reference)
    assert lowered.tobytes() == reference.tobytes()
    top = math.frexp(float(nearest.max()))[1]
    for count in (1, 3):
        threads = _core.Threads(count)
        found = _core.weight_lowered_to(isa, threads, rows, center, nearest, top)
        assert found == _core.total_weight(threads, lowered, top) == sum(grid(lowered, top))
