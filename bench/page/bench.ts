/**
 * Measures lastrow, transformers.js and wllama in a web page: a new browser for each page load, all engines in every round,
 * each round in another order. Waits for a quiet machine, and repeats what others disturbed. What fails, or is ended early,
 * loses nothing that was measured before.
 */
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import { dirname, join, resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { BROWSERS, type BrowserName, endBrowsers, findBrowser } from "./browsers.js";
import { buildSite } from "./build-site.js";
import { loadPage } from "./load-page.js";
import { waitUntilQuiet } from "./machine.js";
import { MODEL_FILES } from "./model-files.js";
import { ENGINES, type EngineName, type RequestSize, TYPES, VARIANTS } from "./page-report.js";
import { PageServer } from "./page-server.js";
import { local, MODELS } from "./paths.js";
import { formatReport } from "./report.js";
import {
  type Configuration,
  nameOf,
  type PageLoad,
  type Row,
  requestFigures,
  summarise,
} from "./statistics.js";

interface Options {
  readonly browsers: readonly BrowserName[];
  readonly engines: readonly { readonly engine: EngineName; readonly variant: string }[];
  readonly types: readonly string[];
  readonly threads: readonly number[];
  readonly rounds: number;
  readonly requests: readonly RequestSize[];
  readonly models: string;
  readonly minutes: number;
  readonly quiet: number;
  readonly wait: number;
  readonly tries: number;
  readonly timeout: number;
  readonly output: string;
}

const ALL_TYPES = [...new Set(Object.values(TYPES).flat())];
const options = new Command("npm run bench --")
  .description("lastrow, transformers.js and wllama in a web page, on the same GPT-2, in turns.")
  .option("--browsers <list>", BROWSERS.join(", "), listOf(BROWSERS), [BROWSERS[0]])
  .option(
    "--engines <list>",
    `${ENGINES.join(", ")}, and with a variant ${variantNames().join(", ")}`,
    (text) => text.split(",").map(parseEngine),
    ENGINES.map((engine) => ({ engine, variant: "" })),
  )
  .option("--types <list>", `of each engine those that it has: ${ALL_TYPES.join(", ")}`, listOf(ALL_TYPES), [
    ...ALL_TYPES,
  ])
  .option(
    "--threads <list>",
    "1: in a page without isolation headers",
    (text) => text.split(",").map(atLeastOne),
    [2, 1],
  )
  .option("--rounds <count>", "page loads of each configuration", atLeastOne, 3)
  .option(
    "--requests <list>",
    "prompt and new tokens",
    (text) => text.split(",").map(parseRequest),
    ["512+64", "16+128"].map(parseRequest),
  )
  .option("--models <folder>", "what `npm run models` made", MODELS)
  .option("--minutes <count>", "start no page after so long", positive, Number.POSITIVE_INFINITY)
  .option("--quiet <percent>", "of the machine that others may use", positive, 5)
  .option("--wait <seconds>", "longest wait for a quiet machine before a page", positive, 120)
  .option("--tries <count>", "page loads until one was quiet", atLeastOne, 3)
  .option("--timeout <seconds>", "longest time of a page", positive, 300)
  .option("--output <file>", "every page load, medians, machine and versions", "results/page.json")
  .addHelpText(
    "after",
    `
Examples:
  npm run bench -- --threads 2 --types f32 --rounds 5
  npm run bench -- --browsers firefox --engines lastrow,wllama,wllama:kv-f32
  npm run bench -- --rounds 1 --requests 32+8 --quiet 100 --tries 1    # does it all work?
`,
  )
  .parse()
  .opts<Options>();

const versions = await readVersions();
for (const browser of options.browsers) versions[browser] = findBrowser(browser).version;
for (const [path, command] of [
  [local("../../dist/index.js"), "npm ci && npm run build in the root"],
  [join(options.models, MODEL_FILES.ggufQ8), "npm run models in bench/page"],
] as const) {
  if (!existsSync(path)) throw new Error(`There is no ${path}: ${command} first.`);
}
const failures: string[] = [];
const built = new Set<EngineName>();
for (const engine of new Set(options.engines.map(({ engine }) => engine))) {
  try {
    await buildSite(engine);
    built.add(engine);
  } catch (error) {
    const [why = ""] = (error as Error).message.split(/\n\s+at /);
    failed(`${engine}: its page cannot be built (npm ci in bench/page?): ${why}`);
  }
}
const configurations = options.threads.flatMap((threads) =>
  options.types.flatMap((type) =>
    options.engines
      .filter(({ engine }) => built.has(engine))
      .filter(({ engine }) => (TYPES[engine] as readonly string[]).includes(type))
      .map(({ engine, variant }): Configuration => ({ engine, type, variant, threads })),
  ),
);

const start = Date.now();
const quiet = options.quiet / 100;
const loads: PageLoad[] = [];
const output = resolve(options.output);
await mkdir(dirname(output), { recursive: true });
let isEnded = false;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  let first = Number.POSITIVE_INFINITY;
  process.on(signal, () => {
    // One that comes later waits for nothing; at once it comes twice, to all of a terminal's processes and from the one above.
    if (Date.now() - first > 1000) process.exit(1);
    first = Math.min(first, Date.now());
    isEnded = true;
    endBrowsers();
  });
}
await using server = await PageServer.start(resolve(options.models));
for (let round = 0; round < options.rounds; round++) {
  for (const browser of options.browsers) {
    for (let turn = 0; turn < configurations.length; turn++) {
      const configuration = configurations[(turn + 5 * round) % configurations.length]!;
      await measure(browser, configuration, round);
    }
  }
}
const rows = await writeResults();
process.stdout.write(`\n${formatReport(rows, options.requests)}\n${output}\n`);
for (const line of new Set(loads.flatMap(kernelLine))) process.stdout.write(`${line}\n`);
if (rows.some(({ otherLoad }) => otherLoad > quiet)) {
  progress("The machine was busy with other work: measure again when it is quiet.");
}
if (isEnded) progress("Ended before it was done.");
if (failures.length > 0 || isEnded) process.exitCode = 1;
if (failures.length > 0) {
  progress(`Failed:\n${failures.join("\n")}`);
}

/** Writes what there is so far. @returns the medians, in the order asked for, whatever came first in the rounds */
async function writeResults(): Promise<Row[]> {
  const inOrder = configurations.flatMap((configuration) =>
    loads.filter((load) => load.configuration === configuration),
  );
  const medians = summarise(inOrder, quiet);
  const machine = { processor: cpus()[0]?.model.trim(), processors: availableParallelism() };
  const date = new Date(start).toISOString();
  const results = { date, machine, versions, rows: medians, failures, loads };
  await writeFile(output, `${JSON.stringify(results, null, 2)}\n`);
  return medians;
}

/** Loads a page until one was not disturbed, at most `tries` times. */
async function measure(browser: BrowserName, configuration: Configuration, round: number): Promise<void> {
  const { tries, timeout: timeoutSeconds, requests: sizes } = options;
  for (let attempt = 0; attempt < tries; attempt++) {
    if (Date.now() - start > 60_000 * options.minutes) return;
    await waitUntilQuiet(quiet, options.wait, () => isEnded);
    if (isEnded) return;
    try {
      const load = await loadPage(server, { browser, configuration, round, sizes, timeoutSeconds });
      loads.push(load);
      progress(progressLine(load));
      await writeResults();
      if (load.otherLoad <= quiet) return;
    } catch (error) {
      if (!isEnded) failed((error as Error).message);
      return;
    }
  }
}

function failed(why: string): void {
  failures.push(why);
  progress(why);
}

function progressLine(load: PageLoad): string {
  const figures = requestFigures(load).map(
    ({ prefill, decode, wholeMs }) =>
      `${prefill.toFixed(0)} and ${decode.toFixed(1)} tok/s in ${(wholeMs / 1000).toFixed(2)} s`,
  );
  return [
    `round ${load.round + 1}`.padEnd(9) + `${load.browser} ${nameOf(load.configuration)}`.padEnd(34),
    `loaded in ${(load.report.loadMs / 1000).toFixed(2)} s`,
    ...figures,
    `${(load.pagePeakBytes / 2 ** 20).toFixed(0)} MiB`,
    `others ${(100 * load.otherLoad).toFixed(1)} %`,
  ].join("  ");
}

/** Which of its kernels lastrow chose. */
function kernelLine({ browser, configuration, report: { info } }: PageLoad): string[] {
  if (configuration.engine !== "lastrow") return [];
  const chosen = ["kernels", "vectors", "dots"].filter((key) => key in info);
  return [
    `${browser} ${nameOf(configuration)}: ${chosen.map((key) => `${key} ${JSON.stringify(info[key])}`).join(", ")}`,
  ];
}

function parseEngine(text: string): { engine: EngineName; variant: string } {
  const [engine, variant = ""] = text.split(":") as [EngineName, string?];
  if (!ENGINES.includes(engine))
    throw new InvalidArgumentError(`${engine} is none of ${ENGINES.join(", ")}.`);
  if (variant === "" || variant in VARIANTS[engine]) return { engine, variant };
  throw new InvalidArgumentError(`${text} is none of ${variantNames().join(", ") || "the variants"}.`);
}

function variantNames(): string[] {
  return ENGINES.flatMap((engine) =>
    Object.entries(VARIANTS[engine]).map(([variant, what]) => `${engine}:${variant} (${what})`),
  );
}

function parseRequest(text: string): RequestSize {
  const [, promptTokens, newTokens] = (/^([1-9]\d*)\+([1-9]\d*)$/.exec(text) ?? []).map(Number);
  if (
    promptTokens === undefined ||
    newTokens === undefined ||
    newTokens < 2 ||
    promptTokens + newTokens > 1024
  )
    throw new InvalidArgumentError(
      "Give prompt and new tokens, at least 2 of these, such as 512+64; 1024 in all.",
    );
  return { promptTokens, newTokens };
}

function listOf<Name extends string>(names: readonly Name[]): (text: string) => Name[] {
  return (text) =>
    text.split(",").map((name) => {
      if (names.includes(name as Name)) return name as Name;
      throw new InvalidArgumentError(`${name} is none of ${names.join(", ")}.`);
    });
}

function atLeastOne(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Give a whole number from 1.");
}

function positive(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value > 0) return value;
  throw new InvalidArgumentError("Give a number above 0.");
}

async function readVersions(): Promise<Record<string, string>> {
  const paths = {
    lastrow: "../../package.json",
    "@huggingface/transformers": "node_modules/@huggingface/transformers/package.json",
    "onnxruntime-web": "node_modules/onnxruntime-web/package.json",
    "@wllama/wllama": "node_modules/@wllama/wllama/package.json",
  };
  const read = async ([name, path]: [string, string]) => {
    const text = await readFile(local(path), "utf8").catch(() => '{ "version": "not installed" }');
    return [name, (JSON.parse(text) as { version: string }).version] as const;
  };
  return Object.fromEntries(await Promise.all(Object.entries(paths).map(read)));
}

function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}
