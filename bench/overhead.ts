/**
 * `npm run bench:overhead`: where the time of a decoded token goes: in the kernels' products and attention, in their other
 * operations, and outside of them, in JavaScript. Of each token by itself, so that medians tell something on a machine that others
 * use; against another checkout in turns. The engine is in this thread, so what its client does with a token counts, too.
 */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { spreadOf } from "../src/bench/spread.js";
import { renderTable } from "../src/cli/table.js";
import { coloursFor } from "../src/cli/terminal.js";
import type { load as loadModel } from "../src/index.js";
import type { Vectors } from "../src/kernels/kernels.js";
import type * as operations from "../src/kernels/wasm/operations.js";
import { CONVERTED_DTYPES, type ConvertedDtype } from "../src/kernels/weight-types.js";
import { benchCommand, type CommonOptions, machine, typeOption, vectorsOption } from "./command.js";
import { randomGpt2 } from "./random-gpt2.js";

/** Positions that are decoded: 60 to 250. */
const PROMPT_TOKENS = 60;
const NEW_TOKENS = 190;
/** Tokens in whose time code is still compiled. */
const WARM_UP = 20;

/** Which operations a row of the table has, by how their names begin; the rest are `other`. */
const KINDS: readonly (readonly [kind: string, begin: string])[] = [
  ["products", "linear"],
  ["attention", "attention"],
  ["quantised inputs", "quantise"],
  ["maxima of logits", "stretchMaxima"],
];
const OTHER = "other operations";
const OUTSIDE = "JavaScript between operations";
const TOKEN = "token";
const BESIDE = "beside products and attention";
/** Operations run as they do without a benchmark, many in one call, and only calls are timed. */
const TOKEN_IN_PLACE = "token, only calls timed";
const IN_PLACE = "JavaScript, only calls timed";
/** With operations that do nothing: the caches are JavaScript's alone. */
const ALONE = "JavaScript alone";
const ROWS = [...KINDS.map(([kind]) => kind), OTHER, OUTSIDE, TOKEN, BESIDE, TOKEN_IN_PLACE, IN_PLACE, ALONE];
/** The kind of a pass's first operation. */
const FIRST = "embed";

/** What is timed: each operation, calls of the kernels, or JavaScript while operations do nothing. */
const MODES = ["each", "calls", "alone"] as const;
type Mode = (typeof MODES)[number];

type Times = Record<string, number>;

const { model, rounds, threads, dtype, vectors, against, json } = benchCommand(
  "bench:overhead",
  "Where the time of a decoded token goes, in operations of the kernels and outside of them; medians over all tokens.",
  { rounds: 5, examples: ["--threads 2 --dtype int8", "--against ../before"] },
)
  .addOption(typeOption("--dtype", "type of the weights", CONVERTED_DTYPES).default("int8"))
  .addOption(vectorsOption("vectors of both checkouts' kernels").default(128))
  .option("--against <folder>", "another checkout of lastrow, built, measured in turns with this one")
  .parse()
  .opts<CommonOptions & { dtype: ConvertedDtype; vectors: Vectors; against?: string }>();

/** One checkout, and what was measured of it. */
class Build {
  /** Milliseconds of each token: by row. */
  readonly tokens: Record<Mode, Times[]> = { each: [], calls: [], alone: [] };
  readonly folder: string;
  #kinds: readonly string[] = [];
  #model: Awaited<ReturnType<typeof loadModel>> | null = null;
  #mode: Mode = "each";
  #started = 0;
  #present: Times = {};
  /** What each token of the present request has taken. */
  #ofRequest: { readonly times: Times; readonly total: number }[] = [];

  constructor(folder: string) {
    this.folder = folder;
  }

  async load(path: string): Promise<void> {
    const at = (file: string) => pathToFileURL(resolve(this.folder, "dist", file)).href;
    const { load } = (await import(at("index.js"))) as { readonly load: typeof loadModel };
    const { OPERATIONS, COMMANDS_AT, COMMANDS, COMMAND_BYTES, COMMAND } = (await import(
      at("kernels/wasm/operations.js")
    )) as typeof operations;
    this.#kinds = Object.keys(OPERATIONS).map((name) => {
      if (name.startsWith("embed")) return FIRST;
      return KINDS.find(([, begin]) => name.startsWith(begin))?.[0] ?? OTHER;
    });
    const { Instance, instantiate } = WebAssembly;
    const timed = (instance: WebAssembly.Instance, imports: WebAssembly.Imports): WebAssembly.Instance => {
      const { exports } = instance;
      const { memory } = imports.env as { memory: WebAssembly.Memory };
      if (exports.publish !== undefined) {
        // Before commands waited for each other there was a place for one.
        const { publish, commandAddress } = exports as Record<string, () => number>;
        const words = new Int32Array(memory.buffer, commandAddress(), 1);
        return { exports: { ...exports, publish: () => this.#run(publish, words[0], 1) } };
      }
      if (exports.run === undefined) return instance;
      const { run, wait } = exports as Record<string, (...args: number[]) => number>;
      const words = new Int32Array(memory.buffer, COMMANDS_AT, (COMMANDS * COMMAND_BYTES) / 4);
      /** Before commands were kept `run` took the first ones. */
      const takesFirst = run.length === 2;
      const runAll = (first: number, count: number) => {
        let done = takesFirst ? run(first, count) : run(count);
        while (done < count) done = wait();
        return done;
      };
      const runEach = (...args: number[]) => {
        const [first, count] = takesFirst ? args : [0, ...args];
        const at = (command: number) => (command * COMMAND_BYTES) / 4;
        const operation = (command: number) => words[at(command) + COMMAND.operation];
        if (this.#mode !== "each") return this.#run(() => runAll(first, count), operation(first), count);
        for (let i = first; i < first + count; i++) {
          if (!takesFirst) words.copyWithin(0, at(i), at(i + 1));
          this.#run(() => runAll(takesFirst ? i : 0, 1), operation(i), 1);
        }
        return count;
      };
      return { exports: { ...exports, run: runEach } };
    };
    Object.assign(WebAssembly, {
      Instance: function TimedInstance(module: WebAssembly.Module, imports: WebAssembly.Imports) {
        return timed(new Instance(module, imports), imports);
      },
      instantiate: async (module: WebAssembly.Module, imports: WebAssembly.Imports) =>
        timed(await instantiate(module, imports), imports),
    });
    try {
      this.#model = await load(path, { dtype, threads, worker: false, ...(vectors === 256 && { vectors }) });
    } finally {
      Object.assign(WebAssembly, { Instance, instantiate });
    }
  }

  /** Times `count` operations of which this is the first. Nothing is done in their place when JavaScript is alone. */
  #run(compute: () => number, operation: number, count: number): number {
    const kind = this.#kinds[operation];
    const start = performance.now();
    if (kind === FIRST) {
      if (this.#started > 0) this.#ofRequest.push({ times: this.#present, total: start - this.#started });
      this.#present = {};
      this.#started = start;
    }
    if (this.#mode === "alone") return count;
    const answer = compute();
    const row = kind === FIRST ? OTHER : kind;
    this.#present[row] = (this.#present[row] ?? 0) + performance.now() - start;
    return answer;
  }

  async measure(round: number, mode: Mode): Promise<void> {
    this.#mode = mode;
    this.#started = 0;
    this.#ofRequest = [];
    const model = this.#model!;
    const prompt = Array.from({ length: PROMPT_TOKENS }, (_, i) => (7919 * i + 104_729 * round) % 1000);
    const options = { maxTokens: NEW_TOKENS, temperature: 0, ignoreEos: true, cachePrompt: false };
    await model.generate(prompt, options).result();
    // The first is the prompt.
    for (const { times, total } of this.#ofRequest.slice(1 + WARM_UP)) {
      const outside = total - Object.values(times).reduce((sum, ms) => sum + ms, 0);
      const beside = total - (times.products ?? 0) - (times.attention ?? 0);
      if (mode === "alone") this.tokens.alone.push({ [ALONE]: total });
      else if (mode === "calls") this.tokens.calls.push({ [TOKEN_IN_PLACE]: total, [IN_PLACE]: outside });
      else this.tokens.each.push({ ...times, [OUTSIDE]: outside, [TOKEN]: total, [BESIDE]: beside });
    }
  }

  forget(): void {
    for (const mode of MODES) this.tokens[mode].length = 0;
  }

  dispose(): Promise<void> {
    return this.#model!.dispose();
  }

  /** Microseconds: the median over all tokens, and what a quarter of them stay below. */
  figures(row: string): { readonly median: number; readonly quarter: number } {
    const mode = MODES.find((mode) => this.tokens[mode].some((times) => row in times)) ?? "each";
    const ms = this.tokens[mode].map((times) => times[row] ?? 0);
    const ascending = [...ms].sort((a, b) => a - b);
    return { median: 1000 * spreadOf(ms).median, quarter: 1000 * ascending[ascending.length >> 2] };
  }
}

const own = new URL("..", import.meta.url).pathname;
const builds = [...(against === undefined ? [] : [against]), own].map((folder) => new Build(folder));
const path = model ?? (await randomGpt2());
for (const build of builds) await build.load(path);
for (let round = 0; round <= rounds; round++) {
  for (const build of round % 2 === 0 ? builds : [...builds].reverse()) {
    for (const mode of MODES) await build.measure(round, mode);
    if (round === 0) build.forget();
  }
  process.stderr.write(round === 0 ? "warmed up\n" : `round ${round} of ${rounds}\n`);
}
for (const build of builds) await build.dispose();

const rows = ROWS.map((name) => ({ name, of: builds.map((build) => build.figures(name)) }));
if (json) {
  process.stdout.write(
    `${JSON.stringify({ node: process.version, dtype, threads, vectors, rounds, against, rows })}\n`,
  );
} else {
  const micros = (value: number) => value.toFixed(value < 100 ? 1 : 0);
  const names = builds.map(({ folder }) => (folder === own ? "" : `${folder}: `));
  const table = renderTable(coloursFor(process.stdout, process.env), {
    head: ["µs a token", ...names.flatMap((name) => [`${name}median`, "a quarter below"])],
    rows: rows.map(({ name, of }) => [
      name,
      ...of.flatMap(({ median, quarter }) => [micros(median), micros(quarter)]),
    ]),
    rightAligned: [1, 2, 3, 4],
  });
  process.stdout.write(
    `${table}\n\n${dtype} weights, ${threads ?? "all"} threads, vectors of ${vectors} bits; ${machine()}\n`,
  );
}
