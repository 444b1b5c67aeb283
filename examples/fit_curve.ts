/**
 * Finds amplitude, decay, frequency and phase of a damped oscillation from noisy measurements, by gradient descent
 * with Adam (Kingma & Ba 2015). Model, gradient and optimiser are one traced program; its state is given away at each
 * call and comes back changed.
 *
 *   npx tsx examples/fit_curve.ts
 */
import { compile, lerp, pow, sub, tensor, valueAndGrad, type Tensor } from "contrastive-ft/tensor";
import { loadTorch } from "contrastive-ft/torch";

type State = { numbers: Tensor; mean: Tensor; square: Tensor };

/** a e^(-d t) sin(f t + p) for the numbers [a, d, f, p] at the times t. */
function oscillation(numbers: Tensor, t: Tensor): Tensor {
  const [a, d, f, p] = [0, 1, 2, 3].map((i) => numbers.select(0, i)) as [Tensor, Tensor, Tensor, Tensor];
  return t.mul(d).neg().exp().mul(a).mul(t.mul(f).add(p).sin());
}

const error = (numbers: Tensor, t: Tensor, y: Tensor): Tensor =>
  oscillation(numbers, t).sub(y).square().mean();

const step = compile(
  (state: State, t: Tensor, y: Tensor, count: Tensor) => {
    const { value, gradient } = valueAndGrad(error)(state.numbers, t, y);
    const mean = lerp(state.mean, gradient, 0.1);
    const square = lerp(state.square, gradient.square(), 0.01);
    const unbiased = (x: Tensor, rate: number): Tensor => x.div(sub(1, pow(rate, count)));
    const move = unbiased(mean, 0.9).div(unbiased(square, 0.99).sqrt().add(1e-8));
    return { value, state: { numbers: state.numbers.sub(move.mul(0.02)), mean, square } };
  },
  { donate: [0] },
);

const truth = { amplitude: 2, decay: 0.3, frequency: 4, phase: 0.5 };
const times = Array.from({ length: 200 }, (_, i) => i / 40);
const measured = times.map((t, i) => {
  const noise = 0.05 * Math.sin(1000 * Math.sin(i));
  return truth.amplitude * Math.exp(-truth.decay * t) * Math.sin(truth.frequency * t + truth.phase) + noise;
});

await loadTorch();
const [t, y] = [tensor(times), tensor(measured)];
let state = {
  numbers: tensor([1, 0.1, 3.5, 0]).upload(),
  mean: tensor([0, 0, 0, 0]).upload(),
  square: tensor([0, 0, 0, 0]).upload(),
};
for (let count = 1; count <= 600; count++) {
  const { value, state: next } = await step(state, t, y, tensor(count));
  state = next;
  if (count % 100 === 0) console.log(`step ${count}: mean squared error ${value.item().toFixed(5)}`);
  value.dispose();
}
const found = state.numbers.toNumbers();
Object.entries(truth).forEach(([name, number], i) =>
  console.log(`${name}: ${found[i]!.toFixed(2)} (true ${number})`),
);
