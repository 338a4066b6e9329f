/**
 * The activations, one element at a time, each operation rounded to f32. Sources: GELU, Hendrycks and Gimpel,
 * arXiv:1606.08415 (the tanh form is its section 2); the names and their forms are Hugging Face transformers'
 * (`activations.py`); SiLU is section 2 of the same paper.
 */

import { erf, exp, tanh } from "../../numerics/math.js";
import type { Activation } from "../kernels.js";

const { fround } = Math;

/** √(2/π) */
const SQRT_2_OVER_PI = fround(0.7978845608028654);
const SQRT_HALF = fround(Math.SQRT1_2);
const CUBIC = fround(0.044715);

/** ½x (1 + tanh(√(2/π) (x + 0.044715 x³))) */
function geluNew(x: number): number {
  const cube = fround(fround(x * x) * x);
  const inner = fround(SQRT_2_OVER_PI * fround(x + fround(CUBIC * cube)));
  return fround(fround(0.5 * x) * fround(1 + tanh(inner)));
}

/** ½x (1 + erf(x / √2)) */
function gelu(x: number): number {
  return fround(fround(0.5 * x) * fround(1 + erf(fround(x * SQRT_HALF))));
}

/** ½x (1 + tanh(√(2/π) x (1 + 0.044715 x²))) */
function geluFast(x: number): number {
  const factor = fround(1 + fround(fround(CUBIC * x) * x));
  const inner = fround(fround(x * SQRT_2_OVER_PI) * factor);
  return fround(fround(0.5 * x) * fround(1 + tanh(inner)));
}

/** x / (1 + exp(−x)) */
function silu(x: number): number {
  return fround(x / fround(1 + exp(-x)));
}

export const activations: Readonly<Record<Activation, (x: number) => number>> = {
  gelu_new: geluNew,
  gelu_pytorch_tanh: geluNew,
  gelu,
  gelu_fast: geluFast,
  // Math.max propagates NaN and prefers +0 to −0, as WebAssembly's max does.
  relu: (x) => Math.max(x, 0),
  silu,
};
