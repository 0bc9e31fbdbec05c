"""The generator's passes without autograd against its modules with autograd."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import TableEncoder
from sdv_wgangp.networks.generator import LOG_SCALE_RANGE, Conditions, Generator
from sdv_wgangp.networks.passes import SamplingPass, TrainingPass
from sdv_wgangp.ops import column_sample

ROWS = 40
FRAMES = {
    "mixed": lambda random: {
        "x": random.normal(size=300),
        "kind": random.choice(list("abc"), 300),
        "y": random.normal(size=300),
    },
    "categories": lambda random: {
        "kind": random.choice(list("abc"), 300),
        "other": random.choice(list("uvwxyz"), 300),
    },
}


@pytest.fixture(params=FRAMES)
def layout(request):
    frame = pd.DataFrame(FRAMES[request.param](np.random.default_rng(0)))
    return Layout.of(TableEncoder().fit(frame))


def make(layout, hidden=(16, 24, 8), conditioned=0):
    random = torch.Generator().manual_seed(0)
    generator = Generator(5, hidden, layout, random, conditioned, condition_gain=3.0)
    with torch.no_grad():  # away from the weights that hide mistakes
        for block in generator.body:
            block.norm.weight.uniform_(0.5, 1.5, generator=random)
            block.norm.bias.uniform_(-0.5, 0.5, generator=random)
        for block in generator.body[:conditioned]:
            block.condition.uniform_(-0.2, 0.2, generator=random)
    noise = generator.draw(ROWS, random)
    uniforms = torch.rand(ROWS, layout.columns, generator=random)
    return generator, noise, uniforms, random


def given_cells(layout, rows, random):
    """Conditions of the first rows: any subset of the columns without positions, also none."""
    codes = torch.stack(
        [torch.randint(int(width), (rows,), generator=random) for width in layout.offsets.diff()],
        1,
    )
    fixed = torch.rand(codes.shape, generator=random) < 0.5
    fixed[:, layout.positioned] = False
    fixed[0] = False
    return Conditions(codes + layout.offsets[:-1], fixed)


def reinmax(logits, levels, offsets, at_codes):
    """The gradient at the logits, column by column (Liu et al. 2023, algorithm 2)."""
    result = torch.zeros_like(logits)
    for c in range(len(offsets) - 1):
        block = slice(int(offsets[c]), int(offsets[c + 1]))
        p, v = torch.softmax(logits[:, block], 1), at_codes[:, block]
        d = torch.zeros_like(p).scatter_(1, levels[:, c : c + 1] - offsets[c], 1.0)
        q = (p + d) / 2
        result[:, block] = 2 * q * (v - (q * v).sum(1, True)) - p / 2 * (v - (p * v).sum(1, True))
    return result


@pytest.mark.parametrize(
    ("hidden", "conditioned", "given"),
    [((16, 24, 8), 0, 0), ((12,), 0, 0), ((12,), 1, 15), ((16, 24, 8), 2, ROWS), ((8, 8), 1, 0)],
    ids=str,
)
def test_the_training_pass_is_the_generator_and_its_derivative(layout, hidden, conditioned, given):
    generator, (noise, jitter), uniforms, random = make(layout, hidden, conditioned)
    offsets = layout.offsets
    passes = TrainingPass(generator, offsets, bfloat16=False)
    conditions = given_cells(layout, given, random) if given else None
    generated = passes.forward(noise, jitter, uniforms, conditions=conditions)

    logits, positions = generator.train()(noise, jitter, conditions)
    torch.testing.assert_close(generated.logits + generator.logits.bias, logits)
    torch.testing.assert_close(generated.positions, positions)
    assert (generated.levels >= offsets[:-1]).all()
    assert (generated.levels < offsets[1:]).all()

    to_codes = torch.randn(logits.shape, generator=random)
    to_positions = torch.randn(positions.shape, generator=random)
    slopes = torch.randn(2, ROWS, layout.columns, generator=random)
    tables = torch.randn(2, layout.levels, generator=random)
    index = torch.repeat_interleave(torch.arange(layout.columns), offsets.diff())
    at_codes = to_codes + (slopes[:, :, index] * tables[:, None]).sum(0)
    ends = [logits, positions] if positions.requires_grad else [logits]
    to_logits = reinmax(logits.detach(), generated.levels, offsets, at_codes)
    if given:
        fixed = conditions.fixed
        assert fixed.any()
        assert torch.equal(generated.levels[:given][fixed], conditions.levels[fixed])
        to_logits[:given][fixed[:, index]] = 0
    expected = torch.autograd.grad(
        ends,
        list(generator.parameters()),
        [to_logits, to_positions][: len(ends)],
        materialize_grads=True,
    )
    passes.backward(generated, to_codes, to_positions, slopes, tables)
    names = [name for name, _ in generator.named_parameters()]
    for name, found, exact in zip(names, passes.gradients, expected, strict=True):
        scale = max(float(exact.abs().max()), 0.1)
        torch.testing.assert_close(
            found, exact, rtol=1e-4, atol=1e-4 * scale, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_a_gradient_that_only_conditions_follow(layout):
    """Against autograd through blocks whose batch statistics are constants."""
    generator, (noise, jitter), uniforms, random = make(layout, conditioned=2)
    offsets, rows = layout.offsets, 14
    conditions = given_cells(layout, 20, random)
    passes = TrainingPass(generator, offsets, bfloat16=False)
    to_logits = torch.randn(rows, layout.levels, generator=random)
    to_positions = torch.randn(rows, jitter.shape[1], generator=random)
    slopes = torch.randn(2, rows, layout.columns, generator=random)
    tables = torch.randn(2, layout.levels, generator=random)

    def gradients(extra):
        generated = passes.forward(noise, jitter, uniforms, conditions=conditions)
        if extra:
            extra = passes.backward_of_conditions(
                generated, to_logits, to_positions, slopes, tables
            )
        nothing = torch.zeros(2, ROWS, layout.columns)
        codes, positions = torch.ones(ROWS, layout.levels), torch.ones_like(jitter)
        passes.backward(generated, codes, positions, nothing, tables, extra or None)
        return [gradient.clone() for gradient in passes.gradients], generated

    (with_them, generated), (without, _) = gradients(True), gradients(False)

    features = noise
    for block in generator.body:
        z = block.linear(features)
        if block.condition is not None:
            z = torch.cat([z[:20] + block.given(conditions), z[20:]])
        variance, mean = torch.var_mean(z.detach(), 0, correction=0)
        normal = (z - mean) * (variance + block.norm.eps).rsqrt()
        out = torch.relu(normal * block.norm.weight + block.norm.bias)
        features = torch.cat([out, features], 1)
    logits = generator.logits(features)[:rows]
    index = torch.repeat_interleave(torch.arange(layout.columns), offsets.diff())
    at_codes = (slopes[:, :, index] * tables[:, None]).sum(0)
    at_logits = reinmax(logits.detach(), generated.levels[:rows], offsets, at_codes) + to_logits
    ends, at_ends = [logits], [at_logits]
    if generator.positions is not None:
        mean, log_scale = generator.positions(features)[:rows].chunk(2, 1)
        scale = log_scale.clamp(*LOG_SCALE_RANGE).exp()
        ends.append(torch.special.ndtr(mean + scale * jitter[:rows]))
        at_ends.append(to_positions)
    named = dict(generator.named_parameters())
    followers = [name for name in named if name.endswith("condition")]
    assert len(followers) == 2
    expected = torch.autograd.grad(ends, [named[name] for name in followers], at_ends)
    differences = dict(zip(named, zip(with_them, without, strict=True), strict=True))
    for name, (found, plain) in differences.items():
        if name not in followers:
            assert torch.equal(found, plain), name
    for name, exact in zip(followers, expected, strict=True):
        found, plain = differences[name]
        scale = float(exact.abs().max())
        torch.testing.assert_close(found - plain, exact, rtol=1e-4, atol=1e-4 * scale)


def test_the_first_logits_spread_as_far_as_is_asked(layout):
    def first(**options):
        generator = Generator(5, (8,), layout, torch.Generator().manual_seed(0), **options)
        return generator.logits.weight

    torch.testing.assert_close(first(logit_spread=1.5) * 4, first())


def test_no_given_cell_is_no_condition(layout):
    generator, noise, uniforms, random = make(layout, conditioned=3)
    passes = TrainingPass(generator, layout.offsets, bfloat16=False)
    conditions = given_cells(layout, 20, random)
    nothing = Conditions(conditions.levels, torch.zeros_like(conditions.fixed))
    plain = passes.forward(*noise, uniforms)
    empty = passes.forward(*noise, uniforms, conditions=nothing)
    given = passes.forward(*noise, uniforms, conditions=conditions)
    assert torch.equal(plain.logits, empty.logits)
    assert torch.equal(plain.levels, empty.levels)
    assert not torch.equal(plain.logits, given.logits)


def test_gradients_of_conditions_do_not_outlive_their_batch(layout):
    generator, noise, uniforms, random = make(layout, conditioned=1)
    passes = TrainingPass(generator, layout.offsets, bfloat16=True)
    place = [name for name, _ in generator.named_parameters()].index("body.0.condition")
    for conditions in (given_cells(layout, 20, random), None):
        generated = passes.forward(*noise, uniforms, conditions=conditions)
        passes.backward(
            generated,
            torch.randn(ROWS, layout.levels, generator=random).to(passes.dtype),
            torch.randn(noise[1].shape, generator=random),
            torch.zeros(2, ROWS, layout.columns),
            torch.zeros(2, layout.levels),
        )
        assert passes.gradients[place].any() == (conditions is not None)


def test_bfloat16_products_change_little(layout):
    generator, (noise, jitter), uniforms, random = make(layout, (64, 64))
    results = []
    to_codes = torch.randn(ROWS, layout.levels, generator=random)
    to_positions = torch.randn(jitter.shape, generator=random)
    for bfloat16 in (False, True):
        passes = TrainingPass(generator, layout.offsets, bfloat16)
        generated = passes.forward(noise, jitter, uniforms)
        generated.levels = results[0][0].levels if results else generated.levels
        logits = generated.logits.float().clone()
        passes.backward(
            generated,
            to_codes.to(passes.dtype, copy=True),
            to_positions,
            torch.zeros(2, ROWS, layout.columns),
            torch.zeros(2, layout.levels),
        )
        results.append((generated, logits, [gradient.float() for gradient in passes.gradients]))
    exact, rounded = results
    assert (exact[1] - rounded[1]).abs().max() < 0.03 * exact[1].abs().max()
    if generator.positions is not None:
        assert (exact[0].positions - rounded[0].positions).abs().max() < 0.02
    for one, other in zip(exact[2], rounded[2], strict=True):
        assert (one - other).norm() <= 0.15 * one.norm() + 1e-4  # some rectifiers switch


def test_levels_alone_are_the_same_levels(layout):
    generator, noise, uniforms, _ = make(layout)
    passes = TrainingPass(generator, layout.offsets, bfloat16=False, held_logits=7 * 32)
    with_logits = passes.forward(*noise, uniforms)
    levels, positions = passes.draw(*noise, uniforms)
    assert torch.equal(with_logits.levels, levels)
    assert torch.equal(with_logits.positions, positions)


def test_refresh_takes_the_new_weights_over(layout):
    generator, noise, uniforms, _ = make(layout)
    passes = TrainingPass(generator, layout.offsets, bfloat16=True)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.1)
    before = passes.forward(*noise, uniforms).logits.clone()
    passes.refresh()
    after = passes.forward(*noise, uniforms).logits
    fresh = TrainingPass(generator, layout.offsets, bfloat16=True).forward(*noise, uniforms).logits
    assert torch.equal(after, fresh)
    assert not torch.equal(before, after)


def test_what_fresh_memory_holds_does_not_matter(layout, monkeypatch):
    generator, noise, uniforms, _ = make(layout)
    passes = TrainingPass(generator, layout.offsets, bfloat16=True)
    logits = []
    for value in (0.0, torch.nan):

        def full(tensor, *shape, value=value, dtype=None):
            return tensor.new_full(shape, value, dtype=dtype)

        monkeypatch.setattr(torch.Tensor, "new_empty", full)
        logits.append(passes.forward(*noise, uniforms).logits)
        monkeypatch.undo()
    assert torch.isfinite(logits[1]).all()
    assert torch.equal(*logits)


@pytest.mark.parametrize("conditioned", [0, 2])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_sampling_pass_is_the_generator_in_evaluation_mode(layout, bfloat16, conditioned):
    generator, noise, uniforms, random = make(layout, conditioned=conditioned)
    generator.train()
    for _ in range(30):
        generator(*generator.draw(100, torch.Generator().manual_seed(1)))
    conditions = given_cells(layout, ROWS, random) if conditioned else None
    logits, positions = generator.eval()(*noise, conditions)
    passes = SamplingPass(generator, layout.offsets, bfloat16)
    levels, inside = passes.draw(*noise, uniforms, conditions)
    expected = column_sample(logits, uniforms, layout.offsets) + layout.offsets[:-1]
    if conditioned:
        expected = torch.where(conditions.fixed, conditions.levels, expected)
        block = slice(*layout.offsets[1:3].tolist())
        probabilities = torch.softmax(logits[:, block], 1).mean(0)
        found = passes.probabilities(noise[0], 1, conditions)
        torch.testing.assert_close(
            found, probabilities.detach(), atol=0.02 if bfloat16 else 1e-5, rtol=0
        )
    assert (levels == expected).float().mean() > (0.97 if bfloat16 else 0.999)
    torch.testing.assert_close(inside, positions.detach(), atol=0.02 if bfloat16 else 1e-5, rtol=0)


def test_logits_that_are_no_distribution_are_named(layout):
    generator, noise, uniforms, _ = make(layout)
    with torch.no_grad():
        generator.logits.weight.fill_(torch.nan)
    passes = TrainingPass(generator, layout.offsets, bfloat16=False)
    with pytest.raises(FloatingPointError, match=r"logits are not finite: .* lower generator_lr"):
        passes.forward(*noise, uniforms)


def test_sampling_needs_running_statistics(layout):
    generator = make(layout)[0]
    generator.body[0].norm = torch.nn.BatchNorm1d(
        generator.body[0].norm.num_features, track_running_stats=False
    )
    with pytest.raises(ValueError, match="track running statistics"):
        SamplingPass(generator, layout.offsets, bfloat16=False)
