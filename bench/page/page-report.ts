/** What a page is asked, in its address, and what it posts to `/report`: the contract of `site/` with the rest. */

export const ENGINES = ["lastrow", "transformers.js", "wllama"] as const;
export type EngineName = (typeof ENGINES)[number];

/**
 * Weights of each engine. `f32` and `int8` of lastrow are its types of these names, int8 made of the
 * Q8_0 file while that is loaded, and `q8_0` is this file's own integers.
 */
export const TYPES = {
  lastrow: ["f32", "int8", "q8_0"],
  "transformers.js": ["f32", "q8"],
  wllama: ["f32", "q8_0"],
} as const satisfies Record<EngineName, readonly string[]>;

/** A build or a setting of an engine that is not what it takes by itself. */
export const VARIANTS: Readonly<Record<EngineName, Readonly<Record<string, string>>>> = {
  lastrow: {},
  "transformers.js": { plain: "ONNX Runtime's build without WebGPU and asyncify" },
  wllama: { "kv-f32": "K and V in f32, no flash attention" },
};

/** A request's size. */
export interface RequestSize {
  readonly promptTokens: number;
  /** At least 2: the first one's time is the prompt's. */
  readonly newTokens: number;
}

export interface PageQuestion {
  readonly type: string;
  readonly variant: string;
  readonly threads: number;
  /** Prompts differ by it. */
  readonly seed: number;
  readonly requests: readonly RequestSize[];
  /** Of this page load: a late report of another one is dropped. */
  readonly id: string;
}

/** Times of one request, from the call. */
export interface RequestTimes {
  /** New tokens that came with the first report of any; 1 but for an engine that reports several at once. */
  readonly firstTokens: number;
  readonly newTokens: number;
  readonly firstMs: number;
  readonly lastMs: number;
  readonly totalMs: number;
  /** Absent where the engine gives text only. */
  readonly tokens?: readonly number[];
}

export interface PageReport {
  readonly id: string;
  readonly userAgent: string;
  readonly isIsolated: boolean;
  /** From the call to the model's being ready. */
  readonly loadMs: number;
  /** What the engine says of itself: version, threads, kernels. */
  readonly info: Readonly<Record<string, unknown>>;
  /** In the order of the requests asked for. */
  readonly requests: readonly RequestTimes[];
}

export interface FailedPage {
  readonly id: string;
  readonly error: string;
}
