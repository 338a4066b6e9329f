/**
 * Decides what the kernels of a model are made of, when they are made: vectors of 256 bits where the runtime can be had to
 * make them, relaxed dot products where it has them, each where it is faster on this machine. Both are the same bits by
 * their definitions; before they are used, the kernels are checked in a small memory (self-check.ts), and what differs is
 * not used. So a wrong answer to what is faster costs time, and nothing else.
 */
import {
  type BackendSizes,
  type Dots,
  type Kernels,
  type KernelUses,
  rows,
  type Vectors,
} from "../kernels.js";
import { MemoryPlan } from "../memory-plan.js";
import { type PackedDtype, WEIGHT_TYPES } from "../weight-types.js";
import { EXPECTED_DIGESTS } from "./expected-digests.js";
import {
  type CompileNow,
  compileKernels,
  hasRelaxedSimd,
  instantiateKernels,
  type KernelBinaries,
  type KernelExports,
  type KernelModules,
  kernelBinaries,
  type WhileWide,
  writeChoices,
} from "./kernel-modules.js";
import { partsOf } from "./kernel-parts.js";
import { CHOICE } from "./operations.js";
import { hasRelaxedForm, PACKED } from "./packed-types.js";
import { RELAXED_KERNELS } from "./relaxed-binary.js";
import { planCheck } from "./self-check.js";

const PAGE_BYTES = 65536;
/** A product that is timed: inputs and outputs of a weight that stays in the nearest cache. */
const [INPUTS, OUTPUTS] = [512, 128];
/** Rows of it: as when a token is decoded, and as in a prompt. */
const [FEW_ROWS, MANY_ROWS] = [2, 24];
/**
 * Both ways are timed in turns, so many times, for products of so many rows together, of which the best turns count; and again as long
 * as either gets better than so: a turn is short, because others may be at work, and they leave few long ones alone.
 */
const [TURNS, TURN_ROWS, SETTLED, MOST_BURSTS] = [10, 24, 0.98, 20];
/**
 * Pairs of vectors became one where f32's wide tiles are more than so many times as fast as others: 1.10 to 1.36 times if so (Emerald
 * Rapids the least), 0.66 to 0.85 if not. A busy machine moves it; and it is likely, since V8 was told to.
 */
const LEAST_FUSED = 0.93;
/** Relaxed dot products are taken where they are so many times as fast: a difference, not an accident. */
const LEAST_GAIN = 1.05;
/** Code that the runtime optimises by itself, beside its use, is so after this time. */
const OPTIMISED_MS = 25;

export interface WantedInstructions {
  /** How the kernels can be had with vectors of 256 bits; absent: not at all. */
  readonly whileWide?: WhileWide | undefined;
  /** Tests: these, whatever is faster, and unchecked. `short`: relaxed ones, with sums of 16 bits where there are such. */
  readonly vectors?: Vectors | undefined;
  readonly dots?: Dots | "short" | undefined;
}

export interface ChosenKernels {
  readonly modules: KernelModules;
  /** What is to be written to the word of choices. */
  readonly choices: number;
  readonly vectors: Vectors;
  readonly dots: Dots;
  /** What a user should hear of: sentences. */
  readonly notices: readonly string[];
}

/** Kernels in a small memory of their own. */
interface Trial {
  choose(choices: number): void;
  /** Runs the check, and says which of its parts gave other bits than the reference kernels. */
  differing(): string[];
  multiply(product: ProbedProduct): void;
}

/** What kernels over a memory are made by, for one thread. */
export interface TrialParts {
  readonly sizes: BackendSizes;
  readonly kernelsOver: (exports: KernelExports, memory: WebAssembly.Memory) => Kernels;
}

/**
 * @param shared whether the memory will be
 * @throws LastrowError `runtime_unsupported`, `code_unavailable`
 */
export async function chooseInstructions(
  shared: boolean,
  wanted: WantedInstructions,
  uses: KernelUses,
  parts: TrialParts,
): Promise<ChosenKernels> {
  const { whileWide } = wanted;
  const integers = probedIntegers(uses);
  const trialOf = (modules: KernelModules) => startTrial(modules, shared, uses, parts);
  const binaries = await kernelBinaries(
    shared,
    integers.length > 0 && hasRelaxedSimd() ? RELAXED_KERNELS : null,
    partsOf(uses),
  );
  const plain = await compileKernels(binaries);
  const all = plain.relaxed === null ? 0 : integers.reduce((sum, { choice }) => sum | choice, 0);
  const long = all & ~(CHOICE.shortSums | CHOICE.shortSumsMany);
  const relaxedChoices = wanted.dots === "relaxed" ? long : all;
  if (whileWide === undefined || wanted.vectors === 128) {
    const fused = wanted.vectors === 256 ? CHOICE.fused : 0;
    if (wanted.dots === "strict" || relaxedChoices === 0) return chosen(plain, fused, fused);
    if (wanted.dots !== undefined) return chosen(plain, fused | relaxedChoices, fused);
    return withFasterDots(plain, trialOf(plain), fused);
  }

  let wide: { readonly modules: KernelModules; readonly trial: Trial };
  try {
    wide = await whileWide((compile) => {
      const modules = compileAll(compile, binaries);
      const trial = trialOf(modules);
      for (const choices of new Set([0, CHOICE.fused, CHOICE.fused | long, CHOICE.fused | relaxedChoices])) {
        trial.choose(choices);
        // Functions are compiled when they return for the first time, those that they call before them.
        for (let i = 0; i < 2; i++) {
          for (const product of [PROBED_F32, ...integers]) trial.multiply(product);
          if (choices !== 0) trial.differing();
        }
      }
      return { modules, trial };
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return chosen(plain, 0, 0, `Vectors of 256 bits can't be had here (${reason}); those in use have 128.`);
  }
  const { modules, trial } = wide;
  if (wanted.vectors === 256) {
    const dots = wanted.dots === "strict" ? 0 : relaxedChoices;
    return chosen(modules, CHOICE.fused | dots, CHOICE.fused);
  }
  // Where nothing is fused, wide tiles are slower. Of f32 alone: with integers the two hardly differ, and only chance would count.
  const isFused = gain(trial, PROBED_F32, 0) > LEAST_FUSED;
  return withFasterDots(modules, trial, isFused ? CHOICE.fused : 0);

  /** The kernels with the faster dot products, once they have been checked. */
  async function withFasterDots(modules: KernelModules, trial: Trial, fused: number): Promise<ChosenKernels> {
    let choices = fused;
    if (relaxedChoices !== 0 && wanted.dots !== "strict") {
      for (const product of integers) {
        if ((product.choice & relaxedChoices) === 0) continue;
        if (modules === plain) optimise(trial, product, choices);
        if (wanted.dots !== undefined || gain(trial, product, choices) > LEAST_GAIN)
          choices |= product.choice;
      }
    }
    // What every runtime compiles, as every runtime does, needs no check.
    if (choices === 0 && modules === plain) return chosen(modules, 0, 0);
    trial.choose(choices);
    const differing = trial.differing();
    if (differing.length === 0) return chosen(modules, choices, fused);
    const what = differing.join(", ");
    trial.choose(fused);
    if (choices !== fused && trial.differing().length === 0) {
      return chosen(modules, fused, fused, notice("relaxed dot products", what, "others are in use"));
    }
    return chosen(plain, 0, 0, notice("vectors of 256 bits", what, "vectors of 128 bits are in use"));
  }
}

function chosen(modules: KernelModules, choices: number, fused: number, ...notices: string[]): ChosenKernels {
  return {
    ...{ modules, choices, notices },
    vectors: fused === 0 ? 128 : 256,
    dots: choices === fused ? "strict" : "relaxed",
  };
}

function notice(instructions: string, what: string, instead: string): string {
  return `With ${instructions} the kernels gave other bits here than they must (${what}): ${instead}. Please report this, with the processor and the runtime's version.`;
}

function compileAll(compile: CompileNow, { module, relaxed }: KernelBinaries): KernelModules {
  return { module: compile(module), relaxed: relaxed && compile(relaxed) };
}

/** Products of integers that a model uses and that may be relaxed: a type to time, how many rows, what it decides. */
interface ProbedProduct {
  readonly dtype: PackedDtype;
  readonly rows: number;
  readonly choice: number;
}

/** In the order in which they are decided: sums of 16 bits must be faster than what would be taken without. */
function probedIntegers(uses: KernelUses): ProbedProduct[] {
  const dtypes = uses.dtypes.filter(hasRelaxedForm);
  const int8 = dtypes.find((dtype) => PACKED[dtype].product === "linearInt8");
  const quantised = dtypes.find((dtype) => PACKED[dtype].product === "linearQuantised");
  const nibbles = dtypes.find((dtype) => WEIGHT_TYPES[dtype].elementBytes === 0.5);
  return [
    ...(int8 === undefined ? [] : [{ dtype: int8, rows: MANY_ROWS, choice: CHOICE.relaxedInt8 }]),
    ...(quantised === undefined
      ? []
      : [
          { dtype: quantised, rows: FEW_ROWS, choice: CHOICE.relaxedQuantised },
          { dtype: quantised, rows: MANY_ROWS, choice: CHOICE.relaxedQuantisedMany },
        ]),
    ...(nibbles === undefined
      ? []
      : [
          { dtype: nibbles, rows: FEW_ROWS, choice: CHOICE.shortSums },
          { dtype: nibbles, rows: MANY_ROWS, choice: CHOICE.shortSumsMany },
        ]),
  ];
}

/** Shows whether pairs of vectors become one: the most rows that f32's tiles take at once. */
const PROBED_F32: ProbedProduct = { dtype: "f32", rows: 5, choice: CHOICE.fused };

function startTrial(
  modules: KernelModules,
  shared: boolean,
  uses: KernelUses,
  { sizes, kernelsOver }: TrialParts,
): Trial {
  const check = planCheck(sizes, uses);
  const plan = new MemoryPlan(sizes);
  plan.reserve(check.bytes - plan.bytes);
  const [x, out] = [plan.tensor(MANY_ROWS, INPUTS), plan.tensor(MANY_ROWS, OUTPUTS)];
  const placed = new Map(
    ["f32" as const, ...uses.dtypes].map((dtype) => {
      const offset = plan.reserve(sizes.packedBytes(INPUTS, OUTPUTS, dtype));
      const scratch = plan.tensor(1, sizes.scratchFloats(MANY_ROWS, INPUTS, dtype));
      return [
        dtype,
        { weight: { dtype, offset, inFeatures: INPUTS, outFeatures: OUTPUTS }, scratch },
      ] as const;
    }),
  );
  const pages = Math.ceil(plan.bytes / PAGE_BYTES) + 1;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared });
  const exports = instantiateKernels(modules, memory);
  const kernels = kernelsOver(exports, memory);
  return {
    choose: (choices) => writeChoices(exports, memory, choices),
    differing: () =>
      check
        .run(kernels)
        .filter(({ name, digest }) => EXPECTED_DIGESTS[name] !== digest)
        .map(({ name }) => name),
    multiply({ dtype, rows: count }) {
      const { weight, scratch } = placed.get(dtype)!;
      kernels.linear(rows(out, 0, count), rows(x, 0, count), weight, null, scratch);
    },
  };
}

/** How many times as fast a product is with its choice: in turns, and each at its best, since others may be at work. */
function gain(trial: Trial, product: ProbedProduct, without: number): number {
  const best = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  const products = Math.ceil(TURN_ROWS / product.rows);
  for (let burst = 0; burst < MOST_BURSTS; burst++) {
    const before = [...best];
    for (let turn = 0; turn < 2 * TURNS; turn++) {
      trial.choose(turn % 2 === 0 ? without : without | product.choice);
      const start = performance.now();
      for (let i = 0; i < products; i++) trial.multiply(product);
      best[turn % 2] = Math.min(best[turn % 2], performance.now() - start);
    }
    if (best.every((ms, way) => ms >= SETTLED * before[way])) break;
  }
  // A coarse clock may have seen nothing at all.
  return best[0] === best[1] ? 1 : best[0] / best[1];
}

/** Uses both ways of a product until they may be taken to be optimised. @param without choices that are made already */
function optimise(trial: Trial, product: ProbedProduct, without: number): void {
  const end = performance.now() + OPTIMISED_MS;
  for (let turn = 0; performance.now() < end; turn++) {
    trial.choose(turn % 2 === 0 ? without : without | product.choice);
    trial.multiply(product);
  }
}
