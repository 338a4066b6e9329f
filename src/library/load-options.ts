/** How a model is loaded and run: what programs may say, and what of it the engine gets, checked. */
import { MAX_CONTEXT_LENGTH, type WantedContext } from "../architectures/architecture.js";
import { invalidArgument } from "../errors.js";
import type { LoadProgress } from "../formats/load-progress.js";
import { ASKED_VECTORS, type AskedVectors, type KernelsName } from "../kernels/kernels.js";
import { KV_DTYPES, type KvDtype } from "../kernels/kv-types.js";
import { parseMemorySize } from "../memory-size.js";
import { ASKED_DTYPES, type AskedDtype } from "../model/weight-dtypes.js";
import { checkOptions, oneOf, shown, wholeNumber } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import type { EngineSetup } from "../protocol/engine-setup.js";
import type { KvTier } from "../protocol/kv-tier.js";

/**
 * How a model is loaded and run. All of it is optional; nothing but `dtype`, `kvDtype` and, for a model with two tables of
 * rotary frequencies, `contextLength` changes a bit of a logit.
 */
export interface LoadOptions {
  /** `wasm` (the default), or `reference`: plain TypeScript, the same bits, far slower. */
  readonly kernels?: KernelsName | undefined;
  /**
   * How the matrices of weights are kept in memory. `auto` (the default) keeps those of 16 bits as they are stored, `bf16`
   * or `f16`, and the rest as `f32`; it also takes `f32` where all of them are so small that this is faster. These three give
   * the same bits for the same values, and share saved sequences. Asked for by name, `bf16` and `f16` round what they cannot
   * represent, which `LanguageModel.info.roundedTensors` tells. `int8` takes about 27 % of the memory of `f32`, is faster
   * and deviates a little; `int4` takes 15 % and deviates more: docs/numerics.md. They are made of the checkpoint's weights
   * when it is loaded, whatever type those have. `auto` keeps quantised weights of GGUF files as they are.
   */
  readonly dtype?: AskedDtype | undefined;
  /**
   * Most positions that a sequence can have: 1 up to what the model was made for. Default: that, or the longest power of
   * two below it, 512 or more, whose K and V take no more than half of what is free beside the weights;
   * `LanguageModel.info` tells which and why (`contextLength`, `contextBound`). A shorter one takes less memory and
   * changes no bit. A model with two tables of rotary frequencies (`longrope`, as Phi has it) is
   * loaded with the shorter of its two lengths and that one's table by default; a longer context must be asked for, takes
   * the other table, and so changes every bit.
   */
  readonly contextLength?: number | undefined;
  /**
   * Memory for K and V: bytes, or a text such as `"512MiB"`. It is rounded down to whole blocks of 16 positions.
   * Default: what four full contexts need, but at most a quarter of what is free beside the weights (half of it for a
   * single full context; of a browser's machine three quarters are taken to be free, and one that it does not tell of to
   * have 4 GiB), and at most what the weights leave of WebAssembly's 4 GiB. `LanguageModel.info.kv` tells what was
   * chosen, and why. Requests that do not fit beside each other take turns; what one sequence needs must be there.
   */
  readonly kvMemory?: number | string | undefined;
  /**
   * How K and V are kept: `f32` (the default); `f16`, which takes half of the memory and rounds them once, and with which a
   * value beyond ±65,504 is a `numerical_error`; or `int8`, which takes about a quarter and deviates a little. Whatever is promised of bits holds within each.
   */
  readonly kvDtype?: KvDtype | undefined;
  /**
   * Threads that share the work, the caller's included: 1 to 64. Default: as many as the machine runs at once. Any
   * number gives the same bits. Where memory cannot be shared (a page without isolation headers) it is 1.
   */
  readonly threads?: number | undefined;
  /**
   * Bits of the vectors that the kernels compute with; any give the same bits of logits, and 256 are faster where a processor
   * and its Node have them (Node 24 and 26 on x86-64 with AVX2). `auto` (the default) leaves it to the runtime, which so far
   * means 128. `256` asks V8 for them: some of its flags, which are the whole process's, are set for about a tenth of a
   * second while the kernels are made, and put back (docs/performance.md). `tested` does so where this version was tested
   * with V8's: for a program whose process is its own, as the command line's is. Before they are used every kernel is
   * checked; what can't be had, or differs, is told in `LanguageModel.info.notices`, and 128 are in use.
   */
  readonly vectors?: AskedVectors | undefined;
  /**
   * Whether the engine runs in a worker of its own, so that no forward pass holds up the caller's event loop. Default:
   * where one can be started; else it runs on the caller's thread, and lets others have a turn between steps. `true`
   * makes it an error when none can. The bits are the same.
   */
  readonly worker?: boolean | undefined;
  /**
   * Most new rows of all sequences together in one step: 1 to 65,536, default 512. Longer prompts are fed in chunks of
   * it. The more, the faster prompts go through when many wait; the fewer, the sooner those that run have their next
   * token, and the less working memory it takes. With less than there are sequences that generate, the youngest of them
   * wait. Any number gives the same bits.
   */
  readonly tokenBudget?: number | undefined;
  /**
   * Blocks of K and V that are shared with other processes and machines: `redisTier` or `directoryTier` of `lastrow/tier`
   * makes one. What it has of a prompt is loaded where that is faster than computing it, and verified; whatever goes wrong
   * with it is a prompt that is computed. The bits are the same. Loading computes up to 24 tokens more, which tell this engine's bits from
   * those of another. In Node only: a page has none.
   */
  readonly tier?: KvTier | undefined;
  /**
   * At least 32 secret bytes that prove which saved sequences were saved here: only those may be found by others after
   * they are restored. Default: in Node a key that this user's programs share, in a file that is made when it is first
   * needed; in a browser none. Null: none.
   */
  readonly installationKey?: Uint8Array | null | undefined;
  /** Called with the bytes downloaded, then with the bytes loaded, and their rate: from time to time, and at the end of each. */
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
  /** Cancels loading with the error code `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

export const LOAD_OPTIONS = optionNames<LoadOptions>()("load", {
  ...{ kernels: true, dtype: true, contextLength: true, kvDtype: true, kvMemory: true, threads: true },
  ...{
    vectors: true,
    worker: true,
    tokenBudget: true,
    tier: true,
    installationKey: true,
    onProgress: true,
    signal: true,
  },
});

const MAX_THREADS = 64;
/** What `contextLength` may be; which of them there are is for the model to say. */
export const CONTEXT_LENGTHS = { from: 1, to: MAX_CONTEXT_LENGTH };
const MAX_TOKEN_BUDGET = 65_536;

/** Fewest bytes of a key: as many as SHA-256 has. */
const LEAST_KEY_BYTES = 32;

/** What the engine gets of the options. */
export type LoadSettings = Pick<
  EngineSetup,
  "isContextAsked" | "kernels" | "threads" | "vectors" | "dtype" | "kvDtype" | "kvMemory" | "tokenBudget"
>;

/**
 * What is asked for, checked: the context that the model is read with, and what is the engine's.
 * @throws LastrowError `invalid_argument`, also for options in the place of the model
 */
export function checkedSettings(
  source: unknown,
  options: LoadOptions,
): { readonly wanted: WantedContext; readonly settings: LoadSettings } {
  const settings = engineOptions(options);
  const contextLength = wholeNumber("contextLength", options.contextLength, undefined, CONTEXT_LENGTHS);
  expectNoOptions(source);
  return { wanted: { contextLength }, settings };
}

/** Options in the place of a model would be taken for names of files. */
function expectNoOptions(source: unknown): void {
  if (typeof source !== "object" || source === null) return;
  const name = Object.keys(source).find((key) => key === "model" || LOAD_OPTIONS.names.includes(key));
  if (name === undefined) return;
  throw invalidArgument(
    `load takes the model first, then its options: ${name} is not the name of a model file.`,
  );
}

/** @throws LastrowError `invalid_argument` for what is no tier */
export function checkTier(tier: KvTier): void {
  if (typeof tier?.connect === "function") return;
  throw invalidArgument(`tier is what redisTier or directoryTier of lastrow/tier gives, not ${shown(tier)}.`);
}

function engineOptions(options: LoadOptions): LoadSettings {
  checkOptions(options, LOAD_OPTIONS);
  const { kvMemory, installationKey = null, tier } = options;
  if (tier !== undefined) checkTier(tier);
  if (
    installationKey !== null &&
    !(installationKey instanceof Uint8Array && installationKey.length >= LEAST_KEY_BYTES)
  ) {
    throw invalidArgument(`installationKey is a Uint8Array of at least ${LEAST_KEY_BYTES} bytes, or null.`);
  }
  return {
    isContextAsked: options.contextLength !== undefined,
    kernels: oneOf("kernels", options.kernels ?? "wasm", ["wasm", "reference"]),
    threads: wholeNumber("threads", options.threads, null, { from: 1, to: MAX_THREADS }),
    vectors: oneOf("vectors", options.vectors ?? "auto", ASKED_VECTORS),
    dtype: oneOf("dtype", options.dtype ?? "auto", ASKED_DTYPES),
    kvDtype: oneOf("kvDtype", options.kvDtype ?? "f32", KV_DTYPES),
    tokenBudget: wholeNumber("tokenBudget", options.tokenBudget, null, { from: 1, to: MAX_TOKEN_BUDGET }),
    kvMemory: kvMemory === undefined ? null : parseMemorySize(kvMemory, "kvMemory"),
  };
}
