/**
 * Measures exp, tanh and erf on every f32 (or every `--stride`-th), WebAssembly against a reference and plain
 * TypeScript against WebAssembly; log, and sine, cosine and e^x in f64, on a sample of doubles; and the cosines and
 * sines of rotary positions at every position up to 2^20. docs/numerics-functions.md quotes what it prints.
 *
 *     npx tsx scripts/measure-math.ts [--stride N] [--only exp|tanh|erf|log|sincos|expOfDouble|angles]
 */
import { parseArgs } from "node:util";
import { plainFrequencies } from "../src/architectures/rotary-frequencies.js";
import { erf, exp, log, tanh } from "../src/numerics/math.js";
import { expOfDouble } from "../src/numerics/power.js";
import { fillAngles } from "../src/numerics/rotary-angles.js";
import { cos, LARGEST_ANGLE, sin } from "../src/numerics/sine-cosine.js";
import {
  compileMathInWasm,
  erfReference,
  expErrorUlps,
  floatErrorUlps,
  floatSteps,
  logErrorUlps,
  rotationErrorUlps,
} from "../test/elementary-reference.js";

const { values } = parseArgs({
  options: { stride: { type: "string", default: "1" }, only: { type: "string" } },
});
const stride = Number(values.stride);
if (!Number.isInteger(stride) || stride < 1) throw new RangeError("--stride: a whole number from 1 on");

const CHUNK = 1 << 20;
const wasm = await compileMathInWasm(CHUNK);

function measureFloat(
  name: "exp" | "tanh" | "erf",
  own: (x: number) => number,
  reference: (x: number) => number,
): void {
  const x = new Float32Array(CHUNK);
  const xBits = new Uint32Array(x.buffer);
  let inputs = 0;
  let misrounded = 0;
  let maxSteps = 0;
  let maxError = 0;
  let maxErrorAt = 0;
  let different = 0;
  const started = performance.now();
  for (let first = 0; first < 2 ** 32; first += CHUNK * stride) {
    const count = Math.min(CHUNK, Math.ceil((2 ** 32 - first) / stride));
    for (let i = 0; i < count; i++) xBits[i] = first + i * stride;
    const y = wasm[name](x.subarray(0, count));
    for (let i = 0; i < count; i++) {
      const xi = x[i]!;
      const yi = y[i]!;
      if (!Object.is(own(xi), yi)) different++;
      const exact = reference(xi);
      const steps = floatSteps(yi, exact);
      if (steps > 0) misrounded++;
      if (steps > maxSteps) maxSteps = steps;
      const error = floatErrorUlps(yi, exact);
      if (error > maxError) {
        maxError = error;
        maxErrorAt = xi;
      }
    }
    inputs += count;
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  process.stdout.write(
    `${name}: ${inputs} inputs, at most ${maxSteps} ulp from the correctly rounded value, ` +
      `${misrounded} not correctly rounded, error at most ${maxError.toFixed(4)} ulp (at ${maxErrorAt}), ` +
      `${different} differ between TypeScript and WebAssembly (${seconds} s)\n`,
  );
}

/** Random 64-bit words: a linear congruential generator (Knuth's MMIX multiplier). */
function randomBits(): () => bigint {
  let state = 1n;
  return () => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return state ^ (state >> 29n);
  };
}

/** All doubles, then the neighbourhood of 1. */
function measureLog(): void {
  const next = randomBits();
  const view = new DataView(new ArrayBuffer(8));
  const inputs = Math.ceil(2_000_000 / stride);
  let maxError = 0;
  let maxErrorAt = 0;
  const started = performance.now();
  for (let i = 0; i < inputs; i++) {
    const bits = next();
    // Of four: any positive double; from 1/2 to 2; from 1 − 2^−12 to 1 + 2^−11; 1 to 65536, a sum of exps.
    const choice = i & 3;
    if (choice === 0) view.setBigUint64(0, bits & 0x7fffffffffffffffn);
    else if (choice === 1) view.setBigUint64(0, 0x3fe0000000000000n + (bits & 0x1fffffffffffffn));
    else if (choice === 2) view.setBigUint64(0, 0x3feffe0000000000n + (bits & 0x3ffffffffffn));
    else view.setBigUint64(0, 0x3ff0000000000000n + (bits & 0xffffffffffffffn));
    const x = view.getFloat64(0);
    if (!Number.isFinite(x) || x === 0 || x === 1) continue;
    const error = logErrorUlps(x, log(x));
    if (error > maxError) {
      maxError = error;
      maxErrorAt = x;
    }
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  process.stdout.write(
    `log: ${inputs} doubles, error at most ${maxError.toFixed(4)} ulp (at ${maxErrorAt}) (${seconds} s)\n`,
  );
}

/** Of three angles: any up to the largest; the double nearest to a multiple of π/2; one of any size. */
function measureSineAndCosine(): void {
  const next = randomBits();
  const uniform = () => Number(next() >> 11n) / 2 ** 53;
  const inputs = Math.ceil(2_000_000 / stride);
  const largest = { cos: { error: 0, at: 0 }, sin: { error: 0, at: 0 } };
  const started = performance.now();
  for (let i = 0; i < inputs; i++) {
    const quarters = Math.floor(uniform() * 2 ** (i % 26));
    const x = [
      uniform() * LARGEST_ANGLE,
      (quarters + 1) * (Math.PI / 2),
      (uniform() + 0.5) * 2 ** ((i % 56) - 30),
    ][i % 3]!;
    const error = rotationErrorUlps(x, { cos: cos(x), sin: sin(x) });
    for (const name of ["cos", "sin"] as const) {
      if (error[name] > largest[name].error) largest[name] = { error: error[name], at: x };
    }
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  process.stdout.write(
    `sin: ${inputs} doubles, error at most ${largest.sin.error.toFixed(4)} ulp (at ${largest.sin.at}); ` +
      `cos: at most ${largest.cos.error.toFixed(4)} ulp (at ${largest.cos.at}) (${seconds} s)\n`,
  );
}

/** e^x over its range. */
function measureExpOfDouble(): void {
  const next = randomBits();
  const uniform = () => Number(next() >> 11n) / 2 ** 53;
  const inputs = Math.ceil(1_000_000 / stride);
  let largest = { error: 0, at: 0 };
  const started = performance.now();
  for (let i = 0; i < inputs; i++) {
    const x = i % 2 === 0 ? uniform() * 1417 - 708 : (uniform() - 0.5) * 2;
    const error = expErrorUlps(x, expOfDouble(x));
    if (error > largest.error) largest = { error, at: x };
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  process.stdout.write(
    `e^x: ${inputs} doubles, error at most ${largest.error.toFixed(4)} ulp (at ${largest.at}) (${seconds} s)\n`,
  );
}

/** Bases and widths of rotations that models have. */
const ROTATIONS = [
  ...[64, 80, 96, 128].map((width) => [10_000, width] as const),
  ...[
    [100_000, 64],
    [500_000, 64],
    [500_000, 128],
    [1_000_000, 64],
    [1_000_000, 128],
    [1_000_000, 256],
    [5_000_000, 128],
    [10_000, 256],
  ].map(([theta, width]) => [theta!, width!] as const),
];

/**
 * Every frequency of these models at every position: f32 results against `Math.cos` and `Math.sin`, which are f64 and so
 * about 2^28 times finer.
 */
function measureAngles(): void {
  const frequencies = [
    ...new Set(ROTATIONS.flatMap(([theta, width]) => plainFrequencies(theta, width).map(Math.fround))),
  ];
  const rotation = { frequencies, factor: 1 };
  const half = frequencies.length;
  const out = new Float32Array(2 * half);
  let inputs = 0;
  let misrounded = 0;
  let maxSteps = 0;
  let maxError = 0;
  const started = performance.now();
  for (let position = 0; position <= 2 ** 20; position += stride) {
    fillAngles(out, position, rotation);
    for (let i = 0; i < half; i++) {
      const angle = position * frequencies[i]!;
      for (let part = 0; part < 2; part++) {
        const own = out[part * half + i]!;
        const exact = part === 0 ? Math.cos(angle) : Math.sin(angle);
        inputs++;
        const steps = floatSteps(own, exact);
        if (steps > 0) misrounded++;
        if (steps > maxSteps) maxSteps = steps;
        const error = floatErrorUlps(own, exact);
        if (error > maxError) maxError = error;
      }
    }
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  process.stdout.write(
    `angles: ${half} frequencies, ${inputs} cosines and sines, at most ${maxSteps} ulp from the correctly rounded value, ` +
      `${misrounded} not correctly rounded, error at most ${maxError.toFixed(8)} ulp (${seconds} s)\n`,
  );
}

const measurements = {
  exp: () => measureFloat("exp", exp, Math.exp),
  tanh: () => measureFloat("tanh", tanh, Math.tanh),
  erf: () => measureFloat("erf", erf, erfReference),
  log: measureLog,
  sincos: measureSineAndCosine,
  expOfDouble: measureExpOfDouble,
  angles: measureAngles,
};
for (const [name, measure] of Object.entries(measurements)) {
  if (values.only === undefined || values.only === name) measure();
}
