/**
 * Measures exp, tanh and erf on every f32 (or every `--stride`-th), WebAssembly against a reference and plain
 * TypeScript against WebAssembly; and log on a sample of doubles. docs/numerics-functions.md quotes what it prints.
 *
 *     npx tsx scripts/measure-math.ts [--stride N] [--only exp|tanh|erf|log]
 */
import { parseArgs } from "node:util";
import { erf, exp, log, tanh } from "../src/numerics/math.js";
import {
  compileMathInWasm,
  erfReference,
  floatErrorUlps,
  floatSteps,
  logErrorUlps,
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

/** Doubles from a linear congruential generator (Knuth's MMIX multiplier): all bits, then the neighbourhood of 1. */
function measureLog(): void {
  let state = 1n;
  const next = () => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return state ^ (state >> 29n);
  };
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

const measurements = {
  exp: () => measureFloat("exp", exp, Math.exp),
  tanh: () => measureFloat("tanh", tanh, Math.tanh),
  erf: () => measureFloat("erf", erf, erfReference),
  log: measureLog,
};
for (const [name, measure] of Object.entries(measurements)) {
  if (values.only === undefined || values.only === name) measure();
}
